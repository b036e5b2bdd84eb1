// Frozen blocks: a step's losses and the gradients of what is trained have the bits they have when
// all is trained, frozen parameters keep theirs, nothing is held or moved for them, and every grid
// agrees with one rank.

#include "lib/program/print.hpp"
#include "validation/harness/bound.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/cases.hpp"
#include "validation/parallel/frozen_sets.hpp"
#include "validation/parallel/zero_trace.hpp"

#include <cmath>
#include <cstdio>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime_and_device(1);

deck::Deck frozen_deck(const deck::Deck& base, FrozenSet set) {
  deck::Deck deck = base;
  deck.model.frozen = frozen_blocks(base.model, set);
  return deck;
}

/// All ranks on the data axis, one sample each.
deck::Deck data_deck(const comm::World& world, const deck::ModelConfig& model) {
  deck::Deck deck = engine_deck(model);
  deck.parallel.data = deck.batch.global = world.size();
  return deck;
}

/// What three steps with a frozen set have in common with a step in which all is trained.
struct InCommon {
  bool loss = false;
  bool gradients = true;  ///< of the first step, of all that is trained, to the bit
  bool kept = true;       ///< no frozen parameter has changed
  bool trained = true;    ///< every other one has
  double norm = 0;        ///< the first step's over that of the trained gradients, less 1
};

InCommon in_common(const comm::World& world, const deck::Deck& whole, FrozenSet set,
                   const EngineFaults& faults = {}, bool touch = false) {
  EngineRun all(world, whole);
  EngineRun some(world, frozen_deck(whole, set), faults);
  const models::Model& model = some.setup().model;
  const StepOutcome before = some.masters();
  const engine::StepResult first = some.step();
  InCommon made;
  made.loss = first.loss_sum == all.step().loss_sum;
  const StepOutcome want = all.outcome();
  const StepOutcome got = some.outcome();
  for (int step = 1; step < 3; ++step) some.step();
  for (const state::UnitState& unit : some.store().units())
    if (touch && unit.unit->frozen) poison(some.store(), unit);
  const StepOutcome after = some.masters();
  double squares = 0;
  for (std::size_t t = 0; t < got.tensors.size(); ++t) {
    const bool changed = !(after.gradients[t] == before.gradients[t]);
    if (model.units[static_cast<std::size_t>(got.tensors[t].unit)].frozen) {
      made.kept &= !changed;
      continue;
    }
    made.trained &= changed;
    made.gradients &= got.gradients[t] == want.gradients[t];
    for (const double value : want.gradients[t]) squares += value * value;
  }
  made.norm = first.decision.gradient.norm / std::sqrt(squares) - 1;
  return made;
}

TEST(FrozenLaw, TrainedGradientsKeepTheirBitsAndFrozenParametersTheirs) {
  const comm::World world;
  for (const NamedModel& model : tiny_models())
    for (const FrozenSet set : kFrozenSets) {
      SCOPED_TRACE(model.name + ", frozen: " + name_of(set));
      const InCommon found = in_common(world, data_deck(world, model.config), set);
      EXPECT_TRUE(found.loss);
      EXPECT_TRUE(found.gradients);
      EXPECT_TRUE(found.kept);
      EXPECT_TRUE(found.trained);
      EXPECT_NEAR(found.norm, 0, 1e-5);
    }
}

TEST(FrozenLaw, PlantedFaultsAreSeen) {
  const comm::World world;
  const deck::Deck deck = data_deck(world, tiny_gpt());
  const InCommon scaled =
      in_common(world, deck, FrozenSet::first_layer, {.gradient_factor = 1.0001});
  EXPECT_FALSE(scaled.gradients);
  EXPECT_TRUE(scaled.kept);
  EXPECT_FALSE(in_common(world, deck, FrozenSet::first_layer, {}, true).kept);
}

TEST(FrozenLaw, EveryGridAgreesWithOneRank) {
  const comm::World world;
  double worst = 0;
  int set = 0;
  for (const GridCase& c : random_cases(world.size(), 9, 51)) {
    const FrozenSet frozen = kFrozenSets[static_cast<std::size_t>(set++) % kFrozenSets.size()];
    SCOPED_TRACE(c.name + ", frozen: " + name_of(frozen));
    const deck::Deck deck = frozen_deck(c.deck, frozen);
    EngineRun run(world, deck);
    const double loss = run.step().loss_sum;
    const StepOutcome got = run.outcome();
    if (world.rank() != 0) continue;
    ReferenceRun reference(deck);
    const StepOutcome want = reference.step();
    const auto layers = static_cast<int>(deck.model.layers);
    const Deviation deviation = compare(got, want, deck.precision.compute, layers);
    EXPECT_LT(deviation.over_bound, bounds_from_host()) << deviation.name;
    EXPECT_LT(std::abs(loss - want.loss),
              bounds_from_host() * bound(deck.precision.compute, 0, layers) * std::abs(want.loss));
    worst = std::max(worst, deviation.over_bound);
  }
  if (world.rank() == 0) std::printf("largest error over bound: %.3f\n", worst);
}

TEST(FrozenLaw, NothingIsHeldOrMovedForThem) {
  const comm::World world;
  const deck::Deck deck = data_deck(world, tiny_gpt());
  const engine::Setup all(deck);
  const engine::Setup some(frozen_deck(deck, FrozenSet::before_the_last_layer));
  const auto bytes = [](const engine::Setup& setup, program::Purpose purpose) {
    return program::memory_by_purpose(setup.training, 0, program::Tier::device)
        .bytes[static_cast<std::size_t>(purpose)];
  };
  const double share = static_cast<double>(some.model.trained_parameters) /
                       static_cast<double>(all.model.parameters);
  EXPECT_LT(share, 0.7);
  for (const program::Purpose purpose : {program::Purpose::gradients, program::Purpose::moments})
    EXPECT_NEAR(static_cast<double>(bytes(some, purpose)),
                share * static_cast<double>(bytes(all, purpose)),
                0.1 * static_cast<double>(bytes(all, purpose)));
  EXPECT_EQ(bytes(some, program::Purpose::weights), bytes(all, program::Purpose::weights));
  const auto count = [](const engine::Setup& setup, program::Kind kind) {
    std::int64_t found = 0;
    for (const program::Instruction& i : setup.training.stages[0].instructions)
      found += i.kind == kind;
    return found;
  };
  EXPECT_LT(count(some, program::Kind::update), count(all, program::Kind::update));
  if (world.size() > 1) {
    EXPECT_LT(count(some, program::Kind::all_reduce), count(all, program::Kind::all_reduce));
  }
  // What the program computes is what its flops a token say.
  const auto flops = [](const engine::Setup& setup) {
    double sum = 0;
    for (const program::Instruction& i : setup.training.stages[0].instructions) sum += i.flops;
    return sum;
  };
  EXPECT_NEAR(flops(some) / flops(all), some.flops_per_token() / all.flops_per_token(), 0.05);
}

}  // namespace
}  // namespace trireme::validation
