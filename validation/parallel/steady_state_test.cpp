// What a steady step costs beyond its work: no allocations, regions that sum to its time, and lanes
// that overlap.

#include "lib/engine/regions.hpp"
#include "validation/harness/allocations.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/zero_cases.hpp"

#include <filesystem>
#include <limits>
#include <numeric>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

void expect_no_allocations(const comm::World& world, const deck::Deck& deck, int steps) {
  EngineRun run(world, deck);
  run.step();
  run.step();
  for (int step = 3; step <= steps; ++step) {
    const AllocationWatch watch;
    run.step();
    const std::int64_t made = watch.count();
    EXPECT_EQ(made, 0) << "in step " << step << ", first\n" << watch.where();
  }
}

TEST(SteadyState, StepsAfterTheSecondAllocateNothing) {
  const comm::World world;
  for (const GridCase& c : random_cases(world.size(), 8, 5)) {
    SCOPED_TRACE(c.name);
    expect_no_allocations(world, c.deck, 10);
  }
}

/// With divided and offloaded state too, on all lanes and the threads that move files.
TEST(SteadyState, StepsOfEveryStageAndTierAllocateNothing) {
  const comm::World world;
  for (const ZeroCase& c : zero_pairs(world.size())) {
    SCOPED_TRACE(c.name);
    expect_no_allocations(world, c.deck, 4);
  }
}

TEST(SteadyState, NorDoActivationsThatWaitElsewhere) {
  const comm::World world;
  int tier = 0;
  for (GridCase& c : random_cases(world.size(), 4, 6)) {
    c.deck.activation_checkpointing = {true, static_cast<deck::Tier>(1 + tier++ % 2),
                                       c.deck.parallel.tensor > 1 && !c.deck.parallel.sequence};
    c.deck.parallel.zero.nvme_path = std::filesystem::temp_directory_path();
    SCOPED_TRACE(c.name);
    EngineRun run(world, c.deck);
    run.step();
    run.step();
    for (int step = 3; step <= 6; ++step) {
      const AllocationWatch watch;
      run.step();
      const std::int64_t made = watch.count();
      EXPECT_EQ(made, 0) << "in step " << step << ", first\n" << watch.where();
    }
  }
}

TEST(SteadyState, TheWatchCountsAllocations) {
  const AllocationWatch watch;
  const auto made = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(watch.count(), 2);
}

TEST(SteadyState, TheWatchNamesWhereTheyAreMade) {
  const AllocationWatch watch;
  random_cases(1, 1, 5);
  EXPECT_GT(watch.count(), 0);
  EXPECT_NE(watch.where().find("random_cases"), std::string::npos) << watch.where();
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

/// Whether lanes that are all delayed take little more than the slowest of them alone.
bool lanes_overlap(const comm::World& world) {
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
  return together < longest + 0.8 * (sum - longest);
}

/// Lanes in a row never pass; lanes side by side may miss once on a machine that others use.
TEST(Overlap, AStepTakesTheLongestLaneNotTheSum) {
  const comm::World world;
  constexpr int kAttempts = 4;
  bool overlapped = false;
  for (int i = 0; i < kAttempts && !overlapped; ++i) overlapped = lanes_overlap(world);
  EXPECT_TRUE(overlapped);
}

}  // namespace
}  // namespace trireme::validation
