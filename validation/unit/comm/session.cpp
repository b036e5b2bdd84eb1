// Not a test itself: a program whose ranks fail in the way its argument names. session_test.cpp
// runs it and looks at exit code, messages and time.

#include "kernels/base/error.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/comm/on_all_ranks.hpp"

#include <signal.h>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  return trireme::comm::run_on_ranks([&](trireme::comm::World& world) -> int {
    using trireme::Exit;
    if (how == "still at the end") {
      world.set_watch_limit(1);
      if (world.rank() == 0) raise(SIGSTOP);
      return 0;
    }
    trireme::comm::SharedArena arena(world, 4096);
    trireme::comm::Communicators groups(world, {world.size(), 1, 1});
    auto& all = groups[trireme::comm::GroupKind::world];
    auto barrier = all.barrier();
    all.wait(barrier);

    if (how == "all") trireme::fail(Exit::kUsage, "the deck has no model");
    if (how == "one" && world.rank() == world.size() - 1)
      trireme::fail(Exit::kNumbers, "the loss is NaN");
    if (how == "stranger" && world.rank() == 0) throw std::runtime_error("something else");
    if (how == "still") {
      world.set_watch_limit(1);
      trireme::comm::on_all_ranks(world, [&] {
        if (world.rank() == world.size() - 1) raise(SIGSTOP);
      });
    }
    if (how == "slow") {
      world.set_watch_limit(3);
      trireme::comm::on_all_ranks(world, [&] {
        if (world.rank() == 0) std::this_thread::sleep_for(std::chrono::seconds(1));
      });
    }
    if (how == "stopped") return static_cast<int>(Exit::kStopped);

    // The others wait for the one that failed, as a run would.
    float sum = 1;
    auto request = all.all_reduce(&sum, 1, trireme::DType::f32);
    all.wait(request);
    std::printf("sum %g\n", static_cast<double>(sum));
    return 0;
  });
}
