// The executor on one rank: what a run answers, where its time goes, what stops it.

#include "lib/engine/regions.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <cmath>
#include <limits>
#include <numeric>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

deck::Deck two_micro_batches() {
  deck::Deck deck = engine_deck(tiny_gpt());
  deck.batch.accumulation = deck.batch.global = 2;
  return deck;
}

double total(const engine::RegionMeter& meter) {
  const auto& parts = meter.totals().seconds;
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

TEST(Executor, AStepIsTheReferencesStep) {
  const comm::World world;
  const deck::Deck deck = two_micro_batches();
  EngineRun run(world, deck);
  ReferenceRun reference(deck);
  for (int step = 0; step < 3; ++step) {
    const engine::StepResult result = run.step();
    const StepOutcome want = reference.step();
    EXPECT_TRUE(result.decision.apply);
    EXPECT_FALSE(result.stop);
    EXPECT_LT(std::abs(result.loss_sum / want.loss - 1), 1e-6);
    EXPECT_EQ(result.tokens, 14);  // of 16, two targets are ignored
  }
}

TEST(Executor, EvaluationChangesNothing) {
  const comm::World world;
  EngineRun run(world, two_micro_batches());
  const StepOutcome before = run.masters();
  const double loss = run.evaluate();
  EXPECT_EQ(run.evaluate(), loss);
  EXPECT_EQ(run.masters().gradients, before.gradients);
  EXPECT_EQ(run.step().loss_sum, loss);  // no dropout: training's forward is the same
  EXPECT_NE(run.masters().gradients, before.gradients);
}

TEST(Executor, EveryInstructionRunsOnceBehindItsWaits) {
  const comm::World world;
  EngineRun run(world, two_micro_batches());
  run.step();
  run.step();
  const auto& list = run.executor().instructions();
  const auto& intervals = run.executor().intervals();
  for (std::size_t i = 0; i < list.size(); ++i) {
    EXPECT_GE(intervals[i].end, intervals[i].start);
    EXPECT_LE(intervals[i].end, run.executor().seconds());
    for (const std::int32_t wait : list[i].waits)
      EXPECT_LE(intervals[static_cast<std::size_t>(wait)].end, intervals[i].start) << i;
  }
}

TEST(Regions, SumToTheStepTimeAndSeeADelay) {
  const comm::World world;
  constexpr double kDelay = 0.05;
  for (const auto lane : {program::Lane::storage, program::Lane::comm}) {
    engine::ExecutorOptions options;
    options.delay_seconds[static_cast<std::size_t>(lane)] = kDelay;
    EngineRun run(world, two_micro_batches(), {}, options);
    engine::RegionMeter meter(run.setup().model, run.executor().instructions());
    run.step();
    meter.add(run.executor().intervals(), run.executor().seconds());
    EXPECT_NEAR(total(meter), run.executor().seconds(), 1e-9);
    const auto waited = lane == program::Lane::storage ? engine::Region::wait_tokens
                                                       : engine::Region::wait_agreement;
    EXPECT_GE(meter.totals().seconds[static_cast<std::size_t>(waited)], 0.9 * kDelay);

    // The fault: work alone, without the gaps between it.
    double work = 0;
    for (std::size_t r = 0; r < static_cast<std::size_t>(engine::Region::wait_tokens); ++r)
      work += meter.totals().seconds[r];
    EXPECT_LT(work, 0.99 * run.executor().seconds());
  }
}

/// The message of the Error that a step throws.
std::string error_of_step(EngineRun& run, Exit expected) {
  try {
    run.step();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), expected);
    return error.text();
  }
  return "";
}

TEST(Executor, SearchNamesTheBlockWhereNumbersBreak) {
  const comm::World world;
  for (const std::string name : {"layers.0", "layers.1"}) {
    EngineRun run(world, two_micro_batches());
    run.step();
    for (state::UnitState& unit : run.store().units())
      if (unit.unit->name == name) poison(run.store(), unit);
    run.executor().search_nonfinite();
    const std::string text = error_of_step(run, Exit::kNumbers);
    EXPECT_NE(text.find(name), std::string::npos) << text;
    EXPECT_NE(text.find("step 2"), std::string::npos) << text;
  }
}

TEST(Executor, SoundNumbersPassTheSearch) {
  const comm::World world;
  EngineRun run(world, two_micro_batches());
  run.executor().search_nonfinite();
  EXPECT_EQ(error_of_step(run, Exit::kNumbers), "");
}

}  // namespace
}  // namespace trireme::validation
