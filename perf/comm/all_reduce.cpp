// all_reduce inside a node: our two paths, MPI's own, and the bound, measured in turns.
//
//   mpirun --oversubscribe --bind-to none -n 2 build/perf/comm/perf_all_reduce [--tiny]
//
// The bound is the same data movement with no protocol: every rank sums its part of all members'
// buffers into all of them. Times are of rank 0, from a common start to its completion; a line
// gives the best and the median of all turns. MPI's sum differs in bits (its order is its own).

#include "io/version.hpp"
#include "kernels/base/checked.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/comm/ordered_sum.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace trireme;
using Clock = std::chrono::steady_clock;

struct Case {
  std::int64_t bytes;
  int calls;  // a turn times this many and divides
  int turns;
};

struct Contender {
  const char* name;
  std::function<void(std::int64_t count)> all_reduce;
  std::vector<double> microseconds = {};
};

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown CPU";
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// All members' buffers, this rank's part, no waiting for anyone.
void sum_own_part(const comm::World& world, const comm::SharedArena& arena, std::int64_t count) {
  const Range part = split_evenly(count, world.size(), world.rank());
  std::vector<const void*> sources;
  std::vector<void*> targets;
  for (int r = 0; r < world.size(); ++r) {
    targets.push_back(arena.at(r, part.begin * 4));
    sources.push_back(targets.back());
  }
  comm::ordered_sum(sources, targets, part.size(), DType::f32);
}

void measure(const comm::World& world, const Case& c, std::vector<Contender>& contenders) {
  for (Contender& contender : contenders) contender.microseconds.clear();
  for (int turn = 0; turn < c.turns; ++turn)
    for (Contender& contender : contenders) {
      contender.all_reduce(c.bytes / 4);  // nobody starts cold
      world.barrier();
      const auto start = Clock::now();
      for (int call = 0; call < c.calls; ++call) contender.all_reduce(c.bytes / 4);
      contender.microseconds.push_back(
          std::chrono::duration<double, std::micro>(Clock::now() - start).count() / c.calls);
    }
}

void print(const Case& c, const std::vector<Contender>& contenders) {
  const double bound = std::ranges::min(contenders[0].microseconds);
  for (const Contender& contender : contenders) {
    const double best = std::ranges::min(contender.microseconds);
    fmt::print("{:>9} {:<14} {:>11.1f} {:>11.1f} {:>8.2f} {:>8.2f}\n", c.bytes, contender.name,
               best, median(contender.microseconds), static_cast<double>(c.bytes) / best / 1e3,
               bound / best);
  }
}

int run(comm::World& world, bool tiny) {
  constexpr std::int64_t kLargest = 16 << 20;
  std::vector<Case> cases = {{4096, 200, 15}, {65536, 50, 15}, {1 << 20, 5, 15}, {kLargest, 1, 15}};
  if (tiny) cases = {{4096, 5, 2}, {1 << 20, 1, 2}};

  comm::SharedArena arena(world, kLargest);
  const comm::ProcessGrid grid(world.size(), 1, 1);
  comm::Communicators shared(world, grid);
  shared.attach(&arena);
  comm::CommOptions apart;
  apart.shared_memory = false;
  comm::Communicators messages(world, grid, apart);
  auto* data = reinterpret_cast<float*>(arena.base());

  const auto through = [&](comm::Communicators& communicators) {
    return [&](std::int64_t count) {
      auto& all = communicators[comm::GroupKind::world];
      comm::Request request = all.all_reduce(data, count, DType::f32);
      all.wait(request);
    };
  };
  std::vector<Contender> contenders = {
      {"bound", [&](std::int64_t count) { sum_own_part(world, arena, count); }},
      {"shared", through(shared)},
      {"messages", through(messages)},
      {"MPI_Allreduce",
       [&](std::int64_t count) {
         MPI_Allreduce(MPI_IN_PLACE, data, static_cast<int>(count), MPI_FLOAT, MPI_SUM,
                       world.comm());
       }},
  };
  if (world.rank() == 0)
    fmt::print("{}; {} ranks, {} cores; Trireme {} ({})\n{:>9} {:<14} {:>11} {:>11} {:>8} {:>8}\n",
               cpu_name(), world.size(), std::thread::hardware_concurrency(), io::version(),
               io::commit(), "bytes", "way", "best us", "median us", "GB/s", "of bound");
  for (const Case& c : cases) {
    std::memset(data, 0, static_cast<std::size_t>(c.bytes));  // sums stay finite
    measure(world, c, contenders);
    if (world.rank() == 0) print(c, contenders);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool tiny = argc > 1 && std::string(argv[1]) == "--tiny";
  return comm::run_on_ranks([tiny](comm::World& world) { return run(world, tiny); });
}
