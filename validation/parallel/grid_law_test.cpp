// The law of grids: losses and every gradient of a training step are the one-rank reference's, up
// to the order of summation, on every grid, schedule and numeric format.

#include "validation/harness/bound.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/parallel/cases.hpp"

#include <cmath>
#include <cstdio>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);
constexpr int kSteps = 3;

struct Worst {
  Deviation gradients;
  double losses = 0;
};

/// Collective; the worst of the case in units of its bound, on rank 0.
Worst run_case(const comm::World& world, const deck::Deck& deck) {
  EngineRun run(world, deck);
  Worst worst;
  std::unique_ptr<ReferenceRun> reference;
  if (world.rank() == 0) reference = std::make_unique<ReferenceRun>(deck);
  const auto layers = static_cast<int>(deck.model.layers);
  const DType dtype = deck.precision.compute;
  for (int step = 0; step < kSteps; ++step) {
    const double loss = run.step().loss_sum;
    const StepOutcome got = step == 0 ? run.outcome() : StepOutcome{};
    if (!reference) continue;
    const StepOutcome want = reference->step();
    if (step == 0) worst.gradients = compare(got, want, dtype, layers);
    const double error = std::abs(loss - want.loss) / std::abs(want.loss);
    worst.losses = std::max(worst.losses, error / bound(dtype, 0, layers));
  }
  return worst;
}

void expect_law(const comm::World& world, const std::vector<GridCase>& cases) {
  double largest = 0;
  double largest_loss = 0;
  for (const GridCase& c : cases) {
    SCOPED_TRACE(c.name);
    Worst worst;
    try {
      worst = run_case(world, c.deck);
    } catch (const Error& error) {
      ADD_FAILURE() << error.text();
      continue;
    }
    EXPECT_LT(worst.gradients.over_bound, 1) << worst.gradients.name;
    EXPECT_LT(worst.losses, 1);
    largest = std::max(largest, worst.gradients.over_bound);
    largest_loss = std::max(largest_loss, worst.losses);
  }
  if (world.rank() == 0)
    std::printf("%zu cases; largest error over bound: gradients %.3f, losses of steps %.3f\n",
                cases.size(), largest, largest_loss);
}

TEST(GridLaw, AllPairs) {
  const comm::World world;
  expect_law(world, all_pairs(world.size()));
}

TEST(GridLaw, RandomCases) {
  const comm::World world;
  expect_law(world, random_cases(world.size(), world.size() == 8 ? 18 : 16, 7));
}

TEST(GridLaw, SameGridSameBits) {
  const comm::World world;
  for (const GridCase& c : random_cases(world.size(), 4, 31)) {
    SCOPED_TRACE(c.name);
    std::vector<StepOutcome> runs;
    for (int repeat = 0; repeat < 2; ++repeat) {
      EngineRun run(world, c.deck);
      for (int step = 0; step < kSteps; ++step) run.step();
      runs.push_back(run.outcome());
      runs.push_back(run.masters());
    }
    EXPECT_EQ(runs[0].loss, runs[2].loss);
    EXPECT_EQ(runs[0].gradients, runs[2].gradients);
    EXPECT_EQ(runs[1].gradients, runs[3].gradients);
  }
}

}  // namespace
}  // namespace trireme::validation
