// Planted faults of a training step leave the grid law's bound far behind; and bytes are conserved:
// what communicators count is what the program says.

#include "validation/harness/bound.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/cases.hpp"

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);
constexpr double kClearly = 10;

/// data 1 or 2 x tensor 2 x pipeline 2, two micro-batches of one sample.
deck::Deck faulty_deck(int ranks, bool sequence_parallel, DType dtype) {
  deck::Deck deck = engine_deck(tiny_gpt());
  deck.model.init.std = 0.2;
  deck.parallel.tensor = 2;
  deck.parallel.pipeline = ranks >= 4 ? 2 : 1;
  deck.parallel.data = ranks / (deck.parallel.tensor * deck.parallel.pipeline);
  deck.parallel.sequence = sequence_parallel;
  deck.batch.accumulation = 2;
  deck.batch.global = 2 * deck.parallel.data;
  deck.precision.compute = dtype;
  return deck;
}

/// Gradient sums of this group do nothing.
EngineFaults without_sums_over(program::Group group) {
  EngineFaults faults;
  faults.program = [group](program::Compiled& compiled) {
    for (program::StageProgram& stage : compiled.stages)
      for (program::Instruction& instruction : stage.instructions)
        if (instruction.lane == program::Lane::comm && instruction.unit >= 0 &&
            instruction.group == group) {
          instruction.bytes = 0;
          instruction.elements = {};
        }
  };
  return faults;
}

double over_bound(const comm::World& world, const deck::Deck& deck, const StepOutcome& want,
                  const EngineFaults& faults) {
  EngineRun run(world, deck, faults);
  run.step();
  return compare(run.outcome(), want, deck.precision.compute, static_cast<int>(deck.model.layers))
      .over_bound;
}

TEST(FaultLaw, PlantedFaultsExceedTheBoundTenfold) {
  const comm::World world;
  for (const bool sequence_parallel : {false, true})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const deck::Deck deck = faulty_deck(world.size(), sequence_parallel, dtype);
      const StepOutcome want = ReferenceRun(deck).step();
      const auto found = [&](const EngineFaults& faults) {
        return over_bound(world, deck, want, faults);
      };
      EXPECT_LT(found({}), 1);
      EXPECT_GT(found({.blank_sample = 1}), kClearly) << "a dropped micro-batch";
      EXPECT_GT(found({.gradient_factor = 0.5}), kClearly) << "a factor 1/n";
      EXPECT_GT(found({.swap_shards = true}), kClearly) << "shuffled shards";
      std::vector<program::Group> needed;
      if (deck.parallel.data > 1) needed.push_back(program::Group::data);
      if (deck.parallel.pipeline > 1) needed.push_back(program::Group::tied);
      if (sequence_parallel) needed.push_back(program::Group::tensor);
      for (const program::Group group : needed)
        EXPECT_GT(found(without_sums_over(group)), dtype == DType::f32 ? kClearly : 1)
            << "no sum over the " << program::name_of(group) << " group";
    }
}

comm::Operation operation_of(program::Kind kind) {
  switch (kind) {
    case program::Kind::all_reduce: return comm::Operation::all_reduce;
    case program::Kind::all_gather: return comm::Operation::all_gather;
    case program::Kind::reduce_scatter: return comm::Operation::reduce_scatter;
    case program::Kind::send: return comm::Operation::send;
    case program::Kind::receive: return comm::Operation::receive;
    default: break;
  }
  fail(Exit::kUnexpected, "{} is no communication", program::name_of(kind));
}

comm::GroupKind group_of(const program::Instruction& instruction) {
  switch (instruction.group) {
    case program::Group::tensor: return comm::GroupKind::tensor;
    case program::Group::data: return comm::GroupKind::data;
    case program::Group::tied: return comm::GroupKind::tied;
    case program::Group::world: return comm::GroupKind::world;
    case program::Group::shard: return comm::GroupKind::shard;
    case program::Group::replica: return comm::GroupKind::replica;
    case program::Group::none: break;
  }
  return comm::GroupKind::pipeline;
}

constexpr comm::GroupKind kEveryGroup[] = {comm::GroupKind::tensor,   comm::GroupKind::data,
                                           comm::GroupKind::shard,    comm::GroupKind::replica,
                                           comm::GroupKind::pipeline, comm::GroupKind::tied,
                                           comm::GroupKind::world};

/// Bytes of an element: members' parts of a sum are whole elements.
std::int64_t element_bytes(EngineRun& run, const program::Instruction& instruction) {
  if (instruction.group == program::Group::world) return sizeof(double);
  if (instruction.unit >= 0) {
    const auto buffer = static_cast<std::size_t>(instruction.reads[0]);
    const bool norms = run.setup().training.buffers[buffer].purpose == program::Purpose::optimizer;
    return norms ? sizeof(double) : sizeof(float);
  }
  return static_cast<std::int64_t>(size_of(run.setup().model.placement.compute));
}

/// Payload of a step by group and operation, from the program alone.
std::array<comm::Traffic, comm::kGroupKinds> planned_traffic(EngineRun& run) {
  std::array<comm::Traffic, comm::kGroupKinds> planned;
  for (const program::Instruction& instruction : run.executor().instructions()) {
    if (instruction.lane != program::Lane::comm) continue;
    const comm::GroupKind group = group_of(instruction);
    const comm::Communicator& communicator = run.communicators()[group];
    const comm::Operation operation = operation_of(instruction.kind);
    auto& row = planned[static_cast<std::size_t>(group)][operation];
    row.calls += 1;
    const std::int64_t element = element_bytes(run, instruction);
    row.payload_bytes += comm::payload_bytes(operation, instruction.bytes / element, element,
                                             communicator.size(), communicator.index());
  }
  return planned;
}

TEST(ByteLaw, CountedBytesAreTheProgramsBytes) {
  const comm::World world;
  for (const GridCase& c : random_cases(world.size(), 6, 3)) {
    SCOPED_TRACE(c.name);
    EngineRun run(world, c.deck);
    const auto planned = planned_traffic(run);
    for (const comm::GroupKind group : kEveryGroup) run.communicators()[group].reset_traffic();
    run.step();
    for (const comm::GroupKind group : kEveryGroup)
      for (int o = 0; o < comm::kOperations; ++o) {
        const auto operation = static_cast<comm::Operation>(o);
        SCOPED_TRACE(std::string(comm::name_of(group)) + " " + std::string(name_of(operation)));
        const auto& want = planned[static_cast<std::size_t>(group)][operation];
        const auto& got = run.communicators()[group].traffic()[operation];
        EXPECT_EQ(got.calls, want.calls);
        EXPECT_EQ(got.payload_bytes, want.payload_bytes);
      }
  }
}

}  // namespace
}  // namespace trireme::validation
