// What this machine gives right now: the limits that perf/run divides by, as one JSON object.
//
//   build/perf/limits/perf_limits [--threads N] [--seconds S] [--megabytes M]
//
// Every figure is the best of many short pieces of its share of S seconds, N pinned threads (2)
// each: flop/s of a multiply-add loop in fp32 and of bf16 dot products (0 without them), bytes/s
// of reading memory, of a += q b, and of writing pages for the first time.

#include "io/version.hpp"
#include "perf/limits/loops.hpp"
#include "perf/limits/pages.hpp"

#include <fmt/core.h>
#include <pthread.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace trireme;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Options {
  int threads = 2;
  double seconds = 3;  // of all figures together
  std::size_t megabytes = 256;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--threads") options.threads = std::atoi(argv[i + 1]);
    if (name == "--seconds") options.seconds = std::atof(argv[i + 1]);
    if (name == "--megabytes") options.megabytes = static_cast<std::size_t>(std::atol(argv[i + 1]));
  }
  return options;
}

/// Best rate of all threads together: each piece of `work` starts on all of them at once and
/// returns what one of them did.
double best_rate(const Options& options, double seconds, const std::function<double(int)>& work) {
  double best = 0;
  double done = 0;
  bool more = true;
  std::vector<double> amounts(static_cast<std::size_t>(options.threads));
  const auto start = Clock::now();
  auto piece_start = start;
  const auto at_end = [&]() noexcept {
    const double time = seconds_since(piece_start);
    done = 0;
    for (const double amount : amounts) done += amount;
    if (done > 0) best = std::max(best, done / time);
    more = seconds_since(start) < seconds;
    piece_start = Clock::now();
  };
  std::barrier sync(options.threads, at_end);
  const auto body = [&](int thread) {
    cpu_set_t cpu;
    CPU_ZERO(&cpu);
    CPU_SET(static_cast<unsigned>(thread) % std::thread::hardware_concurrency(), &cpu);
    pthread_setaffinity_np(pthread_self(), sizeof cpu, &cpu);
    sync.arrive_and_wait();  // counts nothing: nobody worked yet
    do {
      amounts[static_cast<std::size_t>(thread)] = work(thread);
      sync.arrive_and_wait();
    } while (more);
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < options.threads; ++i) threads.emplace_back(body, i);
  threads.clear();
  return best;
}

double first_touch(const Options& options) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  return best_rate(options, 0, [&](int) {
    perf::Pages pages(std::max(kHugePage, options.megabytes << 20));
    std::ranges::fill(pages.floats(), 1.0f);
    return static_cast<double>(pages.floats().size_bytes());
  });
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const double share = options.seconds / 4;
  const double touch = first_touch(options);
  const double fp32 = best_rate(options, share, [](int) { return perf::multiply_fp32(1 << 21); });
  const double bf16 = best_rate(options, share, [](int) { return perf::multiply_bf16(1 << 21); });

  std::vector<std::unique_ptr<perf::Pages>> a, b;
  for (int i = 0; i < options.threads; ++i) {
    for (auto* list : {&a, &b}) {
      list->push_back(std::make_unique<perf::Pages>(options.megabytes << 20));
      std::ranges::fill(list->back()->floats(), 1.0f);
    }
  }
  const auto of = [](auto& list, int thread) {
    return list[static_cast<std::size_t>(thread)]->floats();
  };
  const double read = best_rate(options, share, [&](int thread) {
    volatile float sum = perf::read_all(of(a, thread));
    (void)sum;
    return static_cast<double>(of(a, thread).size_bytes());
  });
  const double update = best_rate(options, share, [&](int thread) {
    perf::update_all(of(a, thread), of(b, thread));
    return 3.0 * static_cast<double>(of(a, thread).size_bytes());
  });
  fmt::print(
      "{{\"commit\": \"{}\", \"threads\": {}, \"fma_fp32\": {:.4g}, \"fma_bf16\": {:.4g}, "
      "\"read\": {:.4g}, "
      "\"update\": {:.4g}, \"first_touch\": {:.4g}}}\n",
      io::commit(), options.threads, fp32, bf16, read, update, touch);
  return 0;
}
