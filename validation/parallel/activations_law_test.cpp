// Where a block's input waits for its recomputation changes where bytes are and no number: losses,
// gradients and masters keep their bits, the device's memory falls, and a planted fault shows.

#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/cases.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace trireme::validation {
namespace {

using program::Instruction;
using program::Kind;
using program::Tier;

const auto* const kRuntime = with_runtime(1);

struct Trace {
  std::vector<double> losses;
  StepOutcome first;    // gradients of the first step
  StepOutcome masters;  // after the last

  bool operator==(const Trace& other) const {
    return losses == other.losses && first.gradients == other.first.gradients &&
           masters.gradients == other.masters.gradients;
  }
};

Trace trace_of(EngineRun& run) {
  Trace made;
  for (int step = 0; step < 2; ++step) {
    made.losses.push_back(run.step().loss_sum);
    if (step == 0) made.first = run.outcome();
  }
  made.masters = run.masters();
  return made;
}

Trace trace_of(const comm::World& world, const deck::Deck& deck, const EngineFaults& faults = {}) {
  EngineRun run(world, deck, faults);
  return trace_of(run);
}

deck::Deck recomputed(deck::Deck deck, Tier tier = Tier::device, bool divided = false) {
  deck.activation_checkpointing = {true, tier,
                                   divided && deck.parallel.tensor > 1 && !deck.parallel.sequence};
  deck.parallel.zero.nvme_path = std::filesystem::temp_directory_path();
  return deck;
}

/// GPipe on 1 or 2 stages, as many tensor ranks as there are, four micro-batches: all inputs at
/// once.
deck::Deck wide_deck(int ranks) {
  deck::Deck deck = engine_deck(tiny_gpt());
  deck.model.init.std = 0.2;
  deck.model.layers = 6;
  deck.parallel.tensor = std::min(ranks, 4);
  deck.parallel.pipeline = ranks / deck.parallel.tensor;
  deck.parallel.schedule = deck::Schedule::gpipe;
  deck.batch.accumulation = deck.batch.global = 4;
  return deck;
}

TEST(ActivationsLaw, WhereInputsWaitChangesNoBit) {
  const comm::World world;
  for (const GridCase& c : random_cases(world.size(), world.size() == 8 ? 3 : 6, 71)) {
    const Trace want = trace_of(world, recomputed(c.deck));
    for (const Tier tier : {Tier::device, Tier::host, Tier::nvme})
      for (const bool divided : {false, true}) {
        const deck::Deck deck = recomputed(c.deck, tier, divided);
        const bool same = divided != deck.activation_checkpointing.partition;
        if (same || (tier == Tier::device && !divided)) continue;
        SCOPED_TRACE(fmt::format("{}, inputs wait on {}{}", c.name, program::name_of(tier),
                                 divided ? ", divided" : ""));
        EXPECT_TRUE(trace_of(world, deck) == want);
      }
  }
}

TEST(ActivationsLaw, TheDeviceHoldsLessOfThem) {
  const comm::World world;
  const deck::Deck deck = wide_deck(world.size());
  const auto input = deck.batch.micro * deck.model.context * deck.model.hidden *
                     static_cast<std::int64_t>(size_of(deck.precision.compute));
  EngineRun plain(world, recomputed(deck));
  plain.step();
  for (const Tier tier : {Tier::device, Tier::host, Tier::nvme})
    for (const bool divided : {false, true}) {
      if (divided ? deck.parallel.tensor == 1 : tier == Tier::device) continue;
      SCOPED_TRACE(fmt::format("{} {}", program::name_of(tier), divided));
      EngineRun run(world, recomputed(deck, tier, divided));
      run.step();
      std::int64_t inputs = 0;  // that wait elsewhere
      for (const Instruction& i : run.executor().instructions())
        inputs += i.kind == (divided ? Kind::all_gather : Kind::fetch) && i.unit < 0 &&
                  (!divided || i.step < 0);
      EXPECT_GE(inputs, deck.batch.accumulation);
      const std::int64_t parts = divided ? deck.parallel.tensor : 1;
      const std::int64_t kept = inputs * input / parts;
      const std::int64_t leaves = inputs * input - (tier == Tier::device ? kept : 0);
      const std::int64_t falls = plain.executor().high_water(Tier::device).total -
                                 run.executor().high_water(Tier::device).total;
      EXPECT_LE(falls, leaves);
      EXPECT_GE(falls, leaves - 4 * input);  // on their way
      if (tier == Tier::device) continue;
      const auto purpose = static_cast<std::size_t>(program::Purpose::kept_activations);
      const std::int64_t waits = run.executor().high_water(tier).bytes[purpose];
      EXPECT_LE(waits, kept);
      EXPECT_GE(waits, kept - input / parts);  // the first may be back before the last leaves
    }
}

/// Changes the first instruction that satisfies `wanted` on each stage.
template <class Wanted, class Change>
EngineFaults changed(Wanted wanted, Change change) {
  EngineFaults faults;
  faults.program = [=](program::Compiled& compiled) {
    for (program::StageProgram& stage : compiled.stages) {
      const auto at = std::find_if(stage.instructions.begin(), stage.instructions.end(), wanted);
      if (at == stage.instructions.end()) continue;
      change(stage.instructions, at);
      derive_waits(stage, compiled.memory);
    }
  };
  return faults;
}

using List = std::vector<Instruction>;

/// What all ranks agree on, whatever else differs between them: losses and gradient norms.
using Seen = std::vector<double>;

Seen seen(const comm::World& world, const deck::Deck& deck, const EngineFaults& faults = {}) {
  EngineRun run(world, deck, faults);
  Seen made;
  try {
    for (int step = 0; step < 2; ++step) {
      const engine::StepResult result = run.step();
      made.push_back(result.loss_sum);
      made.push_back(result.decision.gradient.norm);
    }
  } catch (const Error& error) {  // gradients that are no numbers, on all ranks
    EXPECT_EQ(error.code(), Exit::kNumbers) << error.text();
  }
  return made;
}

TEST(ActivationsLaw, PlantedFaultsShow) {
  const comm::World world;
  const deck::Deck deck = wide_deck(world.size());
  const Seen want = seen(world, recomputed(deck));
  const auto moves = [](Kind kind) {
    return [kind](const Instruction& i) { return i.kind == kind && i.unit < 0; };
  };
  for (const Tier tier : {Tier::host, Tier::nvme}) {
    SCOPED_TRACE(program::name_of(tier));
    const deck::Deck away = recomputed(deck, tier, true);
    const auto finds = [&](const EngineFaults& faults) {
      return seen(world, away, faults) != want;
    };
    EXPECT_FALSE(finds({}));
    EXPECT_TRUE(finds(changed(moves(Kind::store), [](List& list, List::iterator at) {
      list.erase(at);
    }))) << "a store left out";
    EXPECT_TRUE(finds(changed(moves(Kind::fetch), [=](List& list, List::iterator at) {
      at->reads = std::find_if(std::next(at), list.end(), moves(Kind::fetch))->reads;
    }))) << "a fetch of another block's input";
    if (deck.parallel.tensor == 1) continue;
    EXPECT_TRUE(
        finds(changed([](const Instruction& i) { return i.kind == Kind::all_gather && i.step < 0; },
                      [](List&, List::iterator at) { at->bytes = 0; })))
        << "parts never gathered";
  }
}

}  // namespace
}  // namespace trireme::validation
