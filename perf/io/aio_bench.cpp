// How fast the engine of io/aio moves bytes, beside fio and a loop of pread and pwrite, in turns.
//
//   build/perf/io/aio_bench [--path FOLDER] [--size MIB] [--block KIB] [--depth N] [--threads N]
//                           [--rounds N]
//   build/perf/io/aio_bench --tune FOLDER [--size MIB] [--rounds N] > aio.json
//
// The first prints the best and the median of all rounds, and the median share of the best fio of
// the same round (the disk's speed changes by the minute; a round lasts seconds). fio is optional:
// jobs/local/install-deps --references. The second tries settings on mixed traffic, what the
// optimizer step makes, and prints the `aio` section that was best, as a deck; the table goes to
// standard error.

#include "io/version.hpp"
#include "kernels/base/checked.hpp"
#include "perf/io/measure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace trireme;
using namespace trireme::perf;
using io::aio::Settings;

constexpr std::int64_t kKiB = 1 << 10;
constexpr std::int64_t kMiB = 1 << 20;

struct Arguments {
  Job job{.folder = ".", .bytes = 1024 * kMiB, .settings = {}};
  std::int64_t rounds = 5;
  bool tune = false;
  bool tiny = false;
};

std::int64_t number(std::string_view name, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size() && value > 0, Exit::kUsage,
        "{}: expected a positive number, found '{}'", name, text);
  return value;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  Job& job = arguments.job;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--tiny") {
      arguments.tiny = true;
      continue;
    }
    check(i + 1 < argc, Exit::kUsage, "{}: expected a value; see the top of aio_bench.cpp", name);
    const std::string_view value = argv[++i];
    if (name == "--path" || name == "--tune") {
      job.folder = value;
      arguments.tune = name == "--tune";
    } else if (name == "--size") {
      job.bytes = number(name, value) * kMiB;
    } else if (name == "--block") {
      job.settings.block_size = number(name, value) * kKiB;
    } else if (name == "--depth") {
      job.settings.queue_depth = number(name, value);
    } else if (name == "--threads") {
      job.settings.threads = number(name, value);
    } else if (name == "--rounds") {
      arguments.rounds = number(name, value);
    } else {
      fail(Exit::kUsage, "unknown argument '{}'; see the top of aio_bench.cpp", name);
    }
  }
  if (arguments.tiny) {  // under ctest: everything runs, nothing is measured
    job.bytes = 8 * kMiB;
    arguments.rounds = 1;
  }
  return arguments;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Large enough that three of them keep every queue full, small enough to leave room for several.
std::int64_t transfer_bytes(std::int64_t file_bytes) {
  return std::clamp<std::int64_t>(file_bytes / 16, kMiB, 64 * kMiB);
}

/// A way to move the bytes and its speed in each round.
struct Contender {
  const char* name;
  std::function<double(Traffic)> bytes_a_second;
  std::vector<double> speeds = {};
};

/// Median over rounds of `ours` over the best of `peers` in the same round.
double share(const Contender& ours, std::span<const Contender> peers) {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < ours.speeds.size(); ++round) {
    double best = 0;
    for (const Contender& peer : peers) best = std::max(best, peer.speeds[round]);
    ratios.push_back(ours.speeds[round] / best);
  }
  return median(ratios);
}

void compare(const Arguments& arguments) {
  const Job& job = arguments.job;
  Stage stage(job.folder, job.bytes, transfer_bytes(job.bytes));
  fmt::print("{} MiB, block {} KiB, depth {}, {} thread(s), {}; Trireme {} ({}), {} cores\n",
             job.bytes / kMiB, job.settings.block_size / kKiB, job.settings.queue_depth,
             job.settings.threads, stage.file().direct() ? "O_DIRECT" : stage.file().why_buffered(),
             io::version(), io::commit(), std::thread::hardware_concurrency());
  std::vector<Contender> contenders = {
      {"engine", [&](Traffic traffic) { return stage.engine(traffic, job.settings); }},
      {"loop", [&](Traffic traffic) { return stage.loop(traffic, job.settings.block_size); }}};
  const std::size_t ours = contenders.size();
  if (have_fio()) {
    contenders.push_back({"fio", [&](Traffic t) { return fio(t, job, Pages::small); }});
    contenders.push_back({"fio, huge pages", [&](Traffic t) { return fio(t, job, Pages::huge); }});
    fio(Traffic::write, job, Pages::small);  // lays its file out
  } else {
    fmt::print("not run: fio is not installed (jobs/local/install-deps --references)\n");
  }
  fmt::print("{:<6} {:<16} {:>8} {:>8} {:>12}\n", "GB/s", "", "best", "median", "of best fio");
  for (const Traffic traffic : {Traffic::write, Traffic::read, Traffic::mixed}) {
    for (Contender& contender : contenders) contender.speeds.clear();
    for (std::int64_t round = 0; round < arguments.rounds; ++round)
      for (Contender& contender : contenders)
        contender.speeds.push_back(contender.bytes_a_second(traffic));
    const auto peers = std::span<const Contender>(contenders).subspan(ours);
    for (const Contender& contender : contenders)
      fmt::print("{:<6} {:<16} {:>8.2f} {:>8.2f} {:>12}\n", name_of(traffic), contender.name,
                 std::ranges::max(contender.speeds) / 1e9, median(contender.speeds) / 1e9,
                 peers.empty() ? "" : fmt::format("{:.2f}", share(contender, peers)));
  }
  remove_fio_file(job);
}

struct Candidate {
  Settings settings;
  std::vector<double> speeds = {};
  double speed() const { return median(speeds); }
  /// What it costs beside time: threads first, then memory in flight.
  std::pair<std::int64_t, std::int64_t> cost() const {
    return {settings.threads, settings.queue_depth * settings.block_size};
  }
};

void measure(Stage& stage, std::vector<Candidate>& candidates, std::int64_t rounds) {
  for (std::int64_t round = 0; round < rounds; ++round)
    for (Candidate& c : candidates) c.speeds.push_back(stage.engine(Traffic::mixed, c.settings));
}

/// The cheapest of those within 3 % of the fastest: closer than that the disk's own noise decides.
const Candidate& best(const std::vector<Candidate>& candidates) {
  const double fastest = std::ranges::max(candidates, {}, &Candidate::speed).speed();
  const Candidate* chosen = nullptr;
  for (const Candidate& c : candidates)
    if (c.speed() >= 0.97 * fastest && (chosen == nullptr || c.cost() < chosen->cost()))
      chosen = &c;
  return *chosen;
}

void report(const std::vector<Candidate>& candidates) {
  for (const Candidate& c : candidates)
    fmt::print(stderr, "{:>8} {:>6} {:>8} {:>7} {:>8} {:>8.2f}\n", c.settings.block_size / kKiB,
               c.settings.queue_depth, c.settings.threads, c.settings.single_submit,
               c.settings.overlap_events, c.speed() / 1e9);
}

/// First sizes and counts, then the two ways to submit with what was best.
void tune(const Arguments& arguments) {
  Stage stage(arguments.job.folder, arguments.job.bytes, transfer_bytes(arguments.job.bytes));
  std::vector<Candidate> sizes;
  for (const std::int64_t block : {256 * kKiB, kMiB, 4 * kMiB, 8 * kMiB})
    for (const std::int64_t depth : {4, 8, 32})
      for (const std::int64_t threads : {1, 2})
        sizes.push_back({{.block_size = block, .queue_depth = depth, .threads = threads}});
  if (arguments.tiny) sizes.resize(2);
  fmt::print(stderr, "mixed traffic, {} MiB, GB/s, median of {}\n{:>8} {:>6} {:>8} {:>7} {:>8}\n",
             arguments.job.bytes / kMiB, arguments.rounds, "KiB", "depth", "threads", "single",
             "overlap");
  measure(stage, sizes, arguments.rounds);
  report(sizes);
  std::vector<Candidate> ways{{best(sizes).settings}};
  for (const auto& [single, overlap] : {std::pair{true, true}, {false, false}, {true, false}}) {
    ways.push_back({ways.front().settings});
    ways.back().settings.single_submit = single;
    ways.back().settings.overlap_events = overlap;
  }
  measure(stage, ways, arguments.rounds);
  report(ways);
  const Settings& s = best(ways).settings;
  fmt::print(
      "{{\n  \"aio\": {{\n    \"block_size\": {},\n    \"queue_depth\": {},\n"
      "    \"intra_op_parallelism\": {},\n    \"single_submit\": {},\n"
      "    \"overlap_events\": {}\n  }}\n}}\n",
      s.block_size, s.queue_depth, s.threads, s.single_submit, s.overlap_events);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Arguments arguments = parse(argc, argv);
    arguments.tune ? tune(arguments) : compare(arguments);
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.exit_code();
  }
}
