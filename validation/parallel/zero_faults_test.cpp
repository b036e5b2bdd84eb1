// What goes wrong with divided and offloaded state when one instruction of it does: each planted
// fault breaks the bits that the law of ZeRO compares.

#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/zero_trace.hpp"

#include <algorithm>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

using program::Buffer;
using program::Compiled;
using program::Instruction;
using program::Kind;
using program::Lane;
using program::Purpose;

/// Units of several sub-groups a share.
deck::Deck faulty_deck(int ranks, int stage, deck::Tier optimizer, deck::Tier parameters) {
  deck::ModelConfig model = tiny_llama();
  model.hidden = 64;
  model.ffn_hidden = 96;
  deck::Deck deck = engine_deck(model);
  deck.parallel.data = ranks;
  deck.batch.accumulation = 2;
  deck.batch.global = 2 * deck.parallel.data;
  deck::ZeroConfig& zero = deck.parallel.zero;
  zero.stage = stage;
  zero.reduce_per = stage >= 2 ? deck::Per::micro_batch : deck::Per::step;
  zero.offload_optimizer.tier = optimizer;
  zero.offload_param.tier = parameters;
  zero.offload_param.max_in_cpu = 0;
  zero.param_persistence_threshold = 0;
  zero.max_reuse_distance = 0;
  zero.sub_group_size = 2048;
  zero.nvme_path = std::filesystem::temp_directory_path();
  return deck;
}

/// The instruction works on nothing.
void drop(Instruction& instruction) {
  instruction.elements = {};
  instruction.bytes = 0;
}

const Buffer& buffer(const Compiled& compiled, program::BufferId id) {
  return compiled.buffers[static_cast<std::size_t>(id)];
}

/// Drops those that the predicate picks; a fault that finds none is none.
template <class Predicate>
EngineFaults dropping(const Predicate& picks) {
  return {.program = [picks](Compiled& compiled) {
    int dropped = 0;
    for (program::StageProgram& stage : compiled.stages)
      for (Instruction& instruction : stage.instructions)
        if (picks(compiled, instruction)) {
          drop(instruction);
          ++dropped;
        }
    check(dropped > 0, Exit::kUnexpected, "there is nothing to drop in this program");
  }};
}

/// The run as it should be is that of whole state on the device, to the bit; the faulty one is not.
void expect_broken(const comm::World& world, const deck::Deck& deck, const TraceOptions& fault) {
  deck::Deck plain = deck;
  deck::ZeroConfig& zero = plain.parallel.zero;
  zero.offload_optimizer.tier = zero.offload_param.tier = deck::Tier::device;
  // Sums by micro-batch have an order of their own.
  if (zero.reduce_per == deck::Per::step) zero.stage = 0;
  const bool kept = zero.update_per == deck::UpdatePer::step;
  zero.update_per = deck::UpdatePer::step;
  const Trace want = trace_of(world, plain, {.gradients = kept});
  EXPECT_TRUE(trace_of(world, deck) == want) << "without the fault";
  EXPECT_FALSE(trace_of(world, deck, fault) == want);
}

TEST(ZeroFaults, ADroppedSumOfMicroBatches) {
  const comm::World world;
  const auto accumulates = [](const Compiled&, const Instruction& i) {
    return i.kind == Kind::accumulate;
  };
  for (const deck::Tier tier : {deck::Tier::device, deck::Tier::host, deck::Tier::nvme})
    expect_broken(world, faulty_deck(world.size(), 2, tier, deck::Tier::device),
                  {.faults = dropping(accumulates)});
}

TEST(ZeroFaults, SharesThatAreNotGatheredAfterTheUpdate) {
  const comm::World world;
  const auto gathers = [](const Compiled&, const Instruction& i) {
    return i.kind == Kind::all_gather && i.when == program::When::applied;
  };
  expect_broken(world, faulty_deck(world.size(), 1, deck::Tier::device, deck::Tier::device),
                {.faults = dropping(gathers)});
}

/// Gathers before the fetch of the own share is there.
TEST(ZeroFaults, AGatherFromAStaleShare) {
  const comm::World world;
  const auto hasty = [](Compiled& compiled) {
    for (program::StageProgram& stage : compiled.stages)
      for (Instruction& instruction : stage.instructions)
        if (instruction.kind == Kind::all_gather)
          std::erase_if(instruction.waits, [&](std::int32_t w) {
            return stage.instructions[static_cast<std::size_t>(w)].lane == Lane::storage;
          });
  };
  TraceOptions fault{.faults = {.program = hasty}};
  fault.executor.delay_seconds[static_cast<std::size_t>(Lane::storage)] = 0.002;
  expect_broken(world, faulty_deck(world.size(), 3, deck::Tier::device, deck::Tier::nvme), fault);
}

/// Updates with a rank's own gradient, before the sum over the others is there.
TEST(ZeroFaults, AnUpdateThatDoesNotWaitForItsSum) {
  const comm::World world;
  const auto hasty = [](Compiled& compiled) {
    for (program::StageProgram& stage : compiled.stages)
      for (Instruction& instruction : stage.instructions)
        if (instruction.kind == Kind::update || instruction.kind == Kind::norm)
          std::erase_if(instruction.waits, [&](std::int32_t w) {
            return stage.instructions[static_cast<std::size_t>(w)].lane == Lane::comm;
          });
  };
  TraceOptions fault{.faults = {.program = hasty}};
  fault.executor.delay_seconds[static_cast<std::size_t>(Lane::comm)] = 0.002;
  for (const int stage : {0, 2}) {
    deck::Deck deck = faulty_deck(world.size(), stage, deck::Tier::device, deck::Tier::device);
    deck.parallel.zero.update_per = deck::UpdatePer::unit;
    deck.parallel.zero.reduce_per = deck::Per::step;
    deck.gradient_clipping = 0;
    expect_broken(world, deck, fault);
  }
}

TEST(ZeroFaults, ASkippedStore) {
  const comm::World world;
  for (const Purpose state : {Purpose::moments, Purpose::masters, Purpose::gradients}) {
    const auto stores = [state](const Compiled& compiled, const Instruction& i) {
      return i.kind == Kind::store && buffer(compiled, i.writes[0]).content == state;
    };
    expect_broken(world, faulty_deck(world.size(), 3, deck::Tier::nvme, deck::Tier::device),
                  {.faults = dropping(stores)});
  }
}

/// Reads the sub-group behind the one it should.
void read_neighbour(Compiled& compiled) {
  for (program::StageProgram& stage : compiled.stages)
    for (Instruction& i : stage.instructions) {
      if (i.kind != Kind::fetch || i.reads.empty()) continue;
      Buffer shifted = buffer(compiled, i.reads[0]);
      const std::int64_t bytes =
          shifted.bytes / shifted.elements.size() * std::int64_t{i.elements.size()};
      if (shifted.content != Purpose::moments || shifted.bytes < 2 * bytes ||
          i.elements.begin != shifted.elements.begin)
        continue;
      shifted.offset += bytes;
      i.reads[0] = static_cast<program::BufferId>(compiled.buffers.size());
      compiled.buffers.push_back(shifted);
      return;
    }
  fail(Exit::kUnexpected, "no home has two sub-groups");
}

TEST(ZeroFaults, AFetchOfTheNeighbouringSubGroup) {
  const comm::World world;
  expect_broken(world, faulty_deck(world.size(), 2, deck::Tier::nvme, deck::Tier::device),
                {.faults = {.program = read_neighbour}});
}

/// Ranks 0 and 1 take each other's first moments.
void swap_shares(EngineRun& run) {
  const int rank = run.place().at.data;
  if (rank > 1) return;
  for (const state::UnitState& unit : run.store().units())
    run.store().visit(
        unit, Purpose::moments, 0, state::Store::Access::update, [&](const state::Held& held) {
          MPI_Sendrecv_replace(held.values.data(), static_cast<int>(held.values.size()), MPI_FLOAT,
                               1 - rank, 0, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        });
}

TEST(ZeroFaults, SharesSwappedBetweenRanks) {
  const comm::World world;
  for (const deck::Tier tier : {deck::Tier::device, deck::Tier::nvme})
    expect_broken(world, faulty_deck(world.size(), 1, tier, deck::Tier::device),
                  {.after_first = swap_shares});
}

TEST(ZeroFaults, ANormThatForgetsOneRanksShare) {
  const comm::World world;
  for (const deck::Tier tier : {deck::Tier::device, deck::Tier::nvme}) {
    const deck::Deck deck = faulty_deck(world.size(), 2, tier, deck::Tier::device);
    bool forgotten = world.rank() != 0;
    const auto first = [&](const Compiled&, const Instruction& i) {
      const bool takes = i.kind == Kind::norm && !forgotten;
      forgotten |= takes;
      return takes;
    };
    const TraceOptions fault{.faults =
                                 world.rank() == 0 ? dropping(std::ref(first)) : EngineFaults{}};
    const Trace want = trace_of(world, deck);
    EXPECT_NE(trace_of(world, deck, fault).norms, want.norms);
  }
}

/// Slow lanes change times, not bits.
TEST(ZeroFaults, SlowLanesChangeNoBit) {
  const comm::World world;
  const deck::Deck deck = faulty_deck(world.size(), 3, deck::Tier::nvme, deck::Tier::nvme);
  const Trace want = trace_of(world, deck);
  for (int lane = 0; lane < program::kLanes; ++lane) {
    engine::ExecutorOptions slow;
    slow.delay_seconds[static_cast<std::size_t>(lane)] = 0.0005;
    EXPECT_TRUE(trace_of(world, deck, {.executor = slow}) == want) << "lane " << lane;
  }
}

}  // namespace
}  // namespace trireme::validation
