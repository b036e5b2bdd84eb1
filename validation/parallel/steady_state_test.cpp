// What a steady step costs beyond its work: no allocations, regions that sum to its time, and lanes
// that overlap.

#include "lib/engine/regions.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/cases.hpp"

#include <link.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>

namespace {

std::atomic<std::int64_t> allocations{0};  // of all threads of this process

/// Where the code of oneDNN lies. It builds a map of its arguments at each execution, behind its C
/// interface too; that is its own and not counted.
struct CodeRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

int find_library(dl_phdr_info* info, std::size_t, void* found) {
  if (!std::strstr(info->dlpi_name, "libdnnl")) return 0;
  auto& range = *static_cast<CodeRange*>(found);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || !(header.p_flags & PF_X)) continue;
    range = {info->dlpi_addr + header.p_vaddr, info->dlpi_addr + header.p_vaddr + header.p_memsz};
  }
  return 1;
}

bool called_by_product_library(const void* caller) {
  static const CodeRange range = [] {
    CodeRange found;
    dl_iterate_phdr(find_library, &found);
    return found;
  }();
  const auto at = reinterpret_cast<std::uintptr_t>(caller);
  return at >= range.begin && at < range.end;
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (!called_by_product_library(__builtin_return_address(0)))
    allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

TEST(SteadyState, StepsAfterTheSecondAllocateNothing) {
  const comm::World world;
  for (const GridCase& c : random_cases(world.size(), 8, 5)) {
    SCOPED_TRACE(c.name);
    EngineRun run(world, c.deck);
    run.step();
    run.step();
    // A pool of the transport may grow once more when ranks meet in an order they had not met in
    // before; what a step itself allocates shows in every window.
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (int window = 0; window < 4; ++window) {
      const std::int64_t before = allocations;
      run.step();
      run.step();
      least = std::min(least, allocations - before);
    }
    EXPECT_EQ(least, 0);
  }
}

TEST(SteadyState, TheCounterCounts) {
  const std::int64_t before = allocations;
  const auto made = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(allocations - before, 2);
}

TEST(SteadyState, RegionsSumToTheStepTime) {
  const comm::World world;
  for (const GridCase& c : random_cases(world.size(), 4, 9)) {
    SCOPED_TRACE(c.name);
    EngineRun run(world, c.deck);
    engine::RegionMeter meter(run.setup().model, run.executor().instructions());
    double seconds = 0;
    for (int step = 0; step < 3; ++step) {
      run.step();
      meter.add(run.executor().intervals(), run.executor().seconds());
      seconds += run.executor().seconds();
    }
    const auto& parts = meter.totals().seconds;
    for (const double part : parts) EXPECT_GE(part, 0);
    EXPECT_NEAR(std::accumulate(parts.begin(), parts.end(), 0.0), seconds, 0.01 * seconds);
  }
}

/// Shortest of three steps when the lanes are delayed so.
double step_seconds(const comm::World& world, const deck::Deck& deck,
                    const std::array<double, program::kLanes>& delays) {
  engine::ExecutorOptions options;
  options.delay_seconds = delays;
  EngineRun run(world, deck, {}, options);
  run.step();
  double best = std::numeric_limits<double>::max();
  for (int i = 0; i < 3; ++i) {
    run.step();
    best = std::min(best, run.executor().seconds());
  }
  MPI_Allreduce(MPI_IN_PLACE, &best, 1, MPI_DOUBLE, MPI_MAX, world.comm());
  return best;
}

TEST(Overlap, AStepTakesTheLongestLaneNotTheSum) {
  const comm::World world;
  deck::Deck deck = engine_deck(tiny_gpt());
  deck.parallel.pipeline = world.size();
  deck.parallel.schedule = deck::Schedule::gpipe;
  deck.batch.accumulation = deck.batch.global = 6;
  // Per step: about 60 segments, 6 loads, and on two stages 14 messages and sums.
  const std::array<double, program::kLanes> all{0.003, 0.012, 0.025};
  double longest = 0;
  double sum = 0;
  for (std::size_t lane = 0; lane < program::kLanes; ++lane) {
    std::array<double, program::kLanes> one{};
    one[lane] = all[lane];
    const double seconds = step_seconds(world, deck, one);
    longest = std::max(longest, seconds);
    sum += seconds;
  }
  const double together = step_seconds(world, deck, all);
  if (world.rank() == 0)
    std::printf("lanes alone: longest %.0f ms, sum %.0f ms; together %.0f ms\n", 1e3 * longest,
                1e3 * sum, 1e3 * together);
  EXPECT_LT(together, longest + 0.8 * (sum - longest));
}

}  // namespace
}  // namespace trireme::validation
