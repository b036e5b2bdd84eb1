// Collectives inside a node: ours, MPI's own, and the bound, measured in turns.
//
//   mpirun --oversubscribe --bind-to none -n 2 build/perf/comm/perf_collectives
//     [--tiny] [--messages] [--from BYTES] [--to BYTES] [--turns N]
//
// Sizes are bytes of the whole buffer, of which a shard is one rank's part. The bound is the same
// movement with no protocol: every rank sums its part of all buffers (into all of them, or into its
// shard), or copies the others' shards. A turn ends when the last rank is done; a line gives the
// best and the median of all turns, the share of the bound, and the speed beside MPI's same
// operation and beside its all-reduce. MPI's sums differ in bits (their order is its own).

#include "io/version.hpp"
#include "kernels/base/checked.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/comm/ordered_sum.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace trireme;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kElement = 4;  // all data is f32

struct Arguments {
  bool tiny = false;
  bool messages = false;  // measure the message path too
  std::int64_t from = 4 << 10;
  std::int64_t to = 256 << 20;
  int turns = 9;
};

struct Contender {
  std::string name;
  std::function<void(std::int64_t count)> call;
  std::vector<double> microseconds = {};

  double best() const { return std::ranges::min(microseconds); }
  double median() const {
    std::vector<double> sorted = microseconds;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

/// The bound first, ours, the message path when asked for, MPI's last.
struct Race {
  std::string operation;
  std::vector<Contender> contenders;
};

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown CPU";
}

/// A rank's buffers, the same places on all ranks.
class Buffers {
 public:
  Buffers(const comm::World& world, std::int64_t largest)
      : world_(world), arena_(world, largest + divide_up(largest, world.size())), whole_(largest) {}

  const comm::SharedArena& arena() const { return arena_; }
  float* whole() const { return reinterpret_cast<float*>(arena_.base()); }
  float* shard() const { return reinterpret_cast<float*>(arena_.base() + whole_); }

  /// Bounds; each rank its part, no waiting for anyone.
  void sum_into_all(std::int64_t count) const {
    const Range part = part_of(world_.rank(), count);
    std::vector<void*> targets;
    for (int r = 0; r < world_.size(); ++r) targets.push_back(arena_.at(r, part.begin * kElement));
    const std::vector<const void*> sources(targets.begin(), targets.end());
    comm::ordered_sum(sources, targets, part.size(), DType::f32);
  }
  void sum_into_shard(std::int64_t count) const {
    const Range part = part_of(world_.rank(), count);
    std::vector<const void*> sources;
    for (int r = 0; r < world_.size(); ++r) sources.push_back(arena_.at(r, part.begin * kElement));
    void* target = shard();
    comm::ordered_sum(sources, {&target, 1}, part.size(), DType::f32);
  }
  void copy_others(std::int64_t count) const {
    for (int r = 0; r < world_.size(); ++r) {
      const Range part = part_of(r, count);
      if (r != world_.rank())
        std::memcpy(whole() + part.begin, arena_.at(r, part.begin * kElement),
                    static_cast<std::size_t>(part.size() * kElement));
    }
  }

 private:
  Range part_of(int rank, std::int64_t count) const {
    return split_evenly(count, world_.size(), rank);
  }

  const comm::World& world_;
  comm::SharedArena arena_;
  std::int64_t whole_;
};

void finish(comm::Communicator& group, comm::Request request) { group.wait(request); }

/// Ours through these communicators, by operation.
Contender ours(const std::string& name, const std::string& operation, comm::Communicators& all,
               const Buffers& buffers) {
  comm::Communicator& group = all[comm::GroupKind::world];
  float* whole = buffers.whole();
  float* shard = buffers.shard();
  if (operation == "all_reduce")
    return {name, [&group, whole](std::int64_t count) {
              finish(group, group.all_reduce(whole, count, DType::f32));
            }};
  if (operation == "reduce_scatter")
    return {name, [&group, whole, shard](std::int64_t count) {
              finish(group, group.reduce_scatter(whole, shard, count, DType::f32));
            }};
  return {name, [&group, whole](std::int64_t count) {
            const Range part = split_evenly(count, group.size(), group.index());
            finish(group, group.all_gather(whole + part.begin, whole, count, DType::f32));
          }};
}

Contender mpis(const std::string& operation, const comm::World& world, const Buffers& buffers) {
  float* whole = buffers.whole();
  float* shard = buffers.shard();
  MPI_Comm comm = world.comm();
  const int size = world.size();
  if (operation == "all_reduce")
    return {"MPI", [=](std::int64_t count) {
              MPI_Allreduce(MPI_IN_PLACE, whole, narrow<int>(count), MPI_FLOAT, MPI_SUM, comm);
            }};
  if (operation == "reduce_scatter")
    return {"MPI", [=](std::int64_t count) {
              MPI_Reduce_scatter_block(whole, shard, narrow<int>(count / size), MPI_FLOAT, MPI_SUM,
                                       comm);
            }};
  return {"MPI", [=](std::int64_t count) {
            MPI_Allgather(MPI_IN_PLACE, 0, MPI_FLOAT, whole, narrow<int>(count / size), MPI_FLOAT,
                          comm);
          }};
}

Contender bound(const std::string& operation, const Buffers& buffers) {
  if (operation == "all_reduce")
    return {"bound", [&buffers](std::int64_t count) { buffers.sum_into_all(count); }};
  if (operation == "reduce_scatter")
    return {"bound", [&buffers](std::int64_t count) { buffers.sum_into_shard(count); }};
  return {"bound", [&buffers](std::int64_t count) { buffers.copy_others(count); }};
}

/// One turn of one contender: microseconds a call until the last rank was done.
double turn(const comm::World& world, const Contender& contender, std::int64_t count, int calls) {
  contender.call(count);  // nobody starts cold
  world.barrier();
  const auto start = Clock::now();
  for (int call = 0; call < calls; ++call) contender.call(count);
  double time = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  MPI_Allreduce(MPI_IN_PLACE, &time, 1, MPI_DOUBLE, MPI_MAX, world.comm());
  return time / calls;
}

/// Calls in a turn: about a millisecond's worth, which is long beside a barrier's end.
int calls_of(std::int64_t bytes, bool tiny) {
  constexpr std::int64_t kBytesOfAMillisecond = 8 << 20;
  return tiny ? 2
              : static_cast<int>(std::clamp<std::int64_t>(kBytesOfAMillisecond / bytes, 1, 200));
}

void print(const Race& race, std::int64_t bytes, double mpi_all_reduce) {
  const double bound = race.contenders.front().best();
  const double mpi = race.contenders.back().best();
  for (const Contender& c : race.contenders)
    fmt::print("{:<14} {:>10} {:<9} {:>11.1f} {:>11.1f} {:>8.2f} {:>9.2f} {:>8.2f} {:>11.2f}\n",
               race.operation, bytes, c.name, c.best(), c.median(),
               static_cast<double>(bytes) / c.best() / 1e3, bound / c.best(), mpi / c.best(),
               mpi_all_reduce / c.best());
  std::fflush(stdout);
}

void print_head(const comm::World& world) {
  fmt::print("{}; {} ranks, {} cores; Trireme {} ({})\n", cpu_name(), world.size(),
             std::thread::hardware_concurrency(), io::version(), io::commit());
  fmt::print("{:<14} {:>10} {:<9} {:>11} {:>11} {:>8} {:>9} {:>8} {:>11}\n", "operation", "bytes",
             "way", "best us", "median us", "GB/s", "of bound", "x MPI", "x MPI's sum");
}

int run(comm::World& world, const Arguments& arguments) {
  const Buffers buffers(world, arguments.to);
  const comm::ProcessGrid grid(world.size(), 1, 1);
  comm::Communicators shared(world, grid);
  shared.attach(&buffers.arena());
  comm::CommOptions apart;
  apart.shared_memory = false;
  comm::Communicators messages(world, grid, apart);

  std::vector<Race> races;
  for (const std::string operation : {"all_reduce", "reduce_scatter", "all_gather"}) {
    races.push_back({operation, {bound(operation, buffers)}});
    std::vector<Contender>& contenders = races.back().contenders;
    contenders.push_back(ours("ours", operation, shared, buffers));
    if (arguments.messages) contenders.push_back(ours("messages", operation, messages, buffers));
    contenders.push_back(mpis(operation, world, buffers));
  }

  if (world.rank() == 0) print_head(world);
  for (std::int64_t bytes = arguments.from; bytes <= arguments.to;
       bytes *= bytes < (1 << 20) ? 16 : 4) {
    // Sums stay finite however often they are repeated.
    std::memset(buffers.whole(), 0, static_cast<std::size_t>(bytes));
    const int calls = calls_of(bytes, arguments.tiny);
    for (Race& race : races) {
      for (Contender& contender : race.contenders) contender.microseconds.clear();
      for (int t = 0; t < arguments.turns; ++t)
        for (Contender& contender : race.contenders)
          contender.microseconds.push_back(turn(world, contender, bytes / kElement, calls));
      if (world.rank() == 0) print(race, bytes, races.front().contenders.back().best());
    }
  }
  shared.attach(nullptr);
  return 0;
}

Arguments parse(int argc, char** argv) {
  Arguments made;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto number = [&] {
      check(i + 1 < argc, Exit::kUsage, "{} wants a number", word);
      return std::stoll(argv[++i]);
    };
    if (word == "--tiny") {
      made.tiny = true;
      made.to = 1 << 20;
      made.turns = 2;
    } else if (word == "--messages") {
      made.messages = true;
    } else if (word == "--from") {
      made.from = number();
    } else if (word == "--to") {
      made.to = number();
    } else if (word == "--turns") {
      made.turns = narrow<int>(number());
    } else {
      fail(Exit::kUsage, "unknown option {}; the head of the source lists them", word);
    }
  }
  return made;
}

}  // namespace

int main(int argc, char** argv) {
  return comm::run_on_ranks([&](comm::World& world) { return run(world, parse(argc, argv)); });
}
