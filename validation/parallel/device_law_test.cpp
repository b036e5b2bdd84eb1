// The laws of the engine with the device tier in a GPU's memory: emulated here, real under
// validation/gpu/run. The same cases hold on the host, where the device tier is the arena.

#include "validation/harness/allocations.hpp"
#include "validation/harness/bound.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/hasty.hpp"
#include "validation/parallel/zero_cases.hpp"
#include "validation/parallel/zero_trace.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>
#include <thread>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime_and_device(1);

using program::Instruction;
using program::Lane;

/// A GPU works at once, the emulated one where somebody waits for it: this thread does, for the
/// compute stream, as long as it lives.
class Waiting {
 public:
  explicit Waiting(EngineRun& run)
      : thread_([gpu = run.store().gpu()](const std::stop_token& stop) {
          adopt_device();
          while (!stop.stop_requested()) {
            gpu->compute.wait();
            std::this_thread::sleep_for(std::chrono::microseconds(50));
          }
        }) {}

 private:
  std::jthread thread_;
};

/// Two steps against the one-rank reference of the host; the worst over its bound, on rank 0.
double over_bound(const comm::World& world, const deck::Deck& deck, const EngineFaults& faults = {},
                  const engine::ExecutorOptions& options = {}, bool compute_at_once = false) {
  EngineRun run(world, deck, faults, options);
  std::optional<Waiting> waiting;
  if (compute_at_once && run.store().gpu()) waiting.emplace(run);
  std::unique_ptr<ReferenceRun> reference;
  if (world.rank() == 0) reference = std::make_unique<ReferenceRun>(deck);
  const auto layers = static_cast<int>(deck.model.layers);
  double worst = 0;
  for (int step = 0; step < 2; ++step) {
    const double loss = run.step().loss_sum;
    const StepOutcome got = step == 0 ? run.outcome() : StepOutcome{};
    if (!reference) continue;
    const StepOutcome want = reference->step();
    if (step == 0) worst = compare(got, want, deck.precision.compute, layers).over_bound;
    const double error = std::abs(loss - want.loss) / std::abs(want.loss);
    const double losses = error / bound(deck.precision.compute, 0, layers);
    worst = std::isfinite(losses) ? std::max(worst, losses) : losses;
  }
  return worst;
}

TEST(DeviceLaw, GridsAgreeWithTheReferenceOfTheHost) {
  const comm::World world;
  double worst = 0;
  for (const GridCase& c : random_cases(world.size(), law_cases(2), 11)) {
    SCOPED_TRACE(c.name);
    const double here = over_bound(world, c.deck);
    EXPECT_LT(here, bounds_from_host());
    worst = std::max(worst, here);
  }
  if (world.rank() == 0) std::printf("largest error over bound %.3f\n", worst);
}

TEST(DeviceLaw, StagesAndTiersComputeTheSame) {
  const comm::World world;
  int equal = 0;
  const auto cases = zero_random(world.size(), law_cases(3), 23);
  for (const ZeroCase& c : cases) {
    SCOPED_TRACE(c.name);
    const Trace want = trace_of(world, c.plain);
    const Trace got = trace_of(world, c.deck);
    ASSERT_EQ(got.losses.size(), want.losses.size());
    const double relative = bound(c.deck.precision.compute, 0, 2);
    for (std::size_t i = 0; i < got.losses.size(); ++i)
      EXPECT_NEAR(got.losses[i], want.losses[i], relative * std::abs(want.losses[i]));
    EXPECT_TRUE(!c.same_bits || got.masters.gradients == want.masters.gradients);
    equal += c.same_bits;
  }
  if (world.rank() == 0) std::printf("%d of %zu cases to the bit\n", equal, cases.size());
}

/// Products round their operands to the 10 bits of tf32, as f16 has, and sum in fp32; all else has
/// fp32's bound. On the host there is no tf32, and the bits are fp32's.
TEST(DeviceLaw, Tf32RoundsTheOperandsOfProducts) {
  const comm::World world;
  const deck::Deck plain = two_micro_batches(world, tiny_llama());
  deck::Deck deck = plain;
  deck.precision.tf32 = true;
  const auto over = [&](const deck::Deck& run_deck, DType format) {
    EngineRun run(world, run_deck);
    run.step();
    const StepOutcome got = run.outcome();
    double worst = 0;
    if (world.rank() == 0) worst = compare(got, ReferenceRun(plain).step(), format, 2).over_bound;
    MPI_Bcast(&worst, 1, MPI_DOUBLE, 0, world.comm());
    return worst;
  };
  const bool device = test_space() == MemorySpace::device;
  EXPECT_LT(over(deck, DType::f16), 1);
  EXPECT_EQ(over(deck, DType::f32) > 10 * bounds_from_host(), device);
  EXPECT_LT(over(plain, DType::f32), bounds_from_host());  // the check sees the rounding alone
}

/// LAMB's norms are made where the moments are, added up over ranks by the host, and read where the
/// weights are; the fault: sums that start with what memory held.
TEST(DeviceLaw, LambFindsTheNormsOfItsTensors) {
  const comm::World world;
  deck::Deck plain = engine_deck(tiny_llama());
  plain.optimizer.type = deck::OptimizerType::lamb;
  plain.parallel.tensor = world.size() == 4 ? 2 : 1;
  plain.parallel.data = world.size() / plain.parallel.tensor;
  plain.batch.global = 2 * plain.parallel.data;
  const auto masters_of = [&](const deck::Deck& deck, const EngineFaults& faults = {}) {
    EngineRun run(world, deck, faults);
    run.step();
    if (!faults.program) run.step();  // which would stop at what the fault has left
    return run.masters();
  };
  const StepOutcome want = masters_of(plain);
  const auto over = [&](const StepOutcome& got) {
    double worst = compare(got, want, DType::f32, 2).over_bound;
    MPI_Bcast(&worst, 1, MPI_DOUBLE, 0, world.comm());
    return worst;
  };
  for (const deck::Tier tier : {deck::Tier::device, deck::Tier::host}) {
    deck::Deck deck = plain;
    deck.parallel.zero.stage = 2;
    deck.parallel.zero.offload_optimizer.tier = tier;
    EXPECT_LT(over(masters_of(deck)), 1);
    deck.parallel.zero.offload_optimizer.ratio = 0.5;
    EXPECT_LT(over(masters_of(deck)), 1);
  }
  const EngineFaults stale{.program = [](program::Compiled& compiled) {
    for (program::StageProgram& stage : compiled.stages)
      for (Instruction& instruction : stage.instructions)
        if (instruction.kind == program::Kind::trust) instruction.accumulate = 1;
  }};
  EXPECT_FALSE(over(masters_of(plain, stale)) < 1);
}

TEST(DeviceLaw, SameGridSameBits) {
  const comm::World world;
  for (const GridCase& c : random_cases(world.size(), law_cases(1), 31)) {
    SCOPED_TRACE(c.name);
    const deck::Deck& deck = c.deck;
    EXPECT_EQ(trace_of(world, deck), trace_of(world, deck));
  }
}

/// On the host, and of the device's memory.
TEST(DeviceLaw, SteadyStepsAllocateNothing) {
  const comm::World world;
  for (const ZeroCase& c : zero_random(world.size(), law_cases(2), 5)) {
    SCOPED_TRACE(c.name);
    EngineRun run(world, c.deck);
    run.step();
    run.step();
    const bool device = test_space() == MemorySpace::device;
    const auto free_bytes = [&] { return device ? device_memory_state().free : 0; };
    world.barrier();  // ranks that share a GPU see each other's memory come and go
    const std::int64_t free = free_bytes();
    const AllocationWatch watch;
    run.step();
    run.step();
    const std::int64_t made = watch.count();
    EXPECT_EQ(made, 0) << watch.where();
    EXPECT_EQ(free_bytes(), free);
    world.barrier();
  }
}

/// Device memory that a run has taken from what was free, beyond its plan.
std::int64_t beyond_plan(const comm::World& world, std::int64_t leaked = 0) {
  deck::Deck deck = engine_deck(tiny_llama());
  deck.model.vocabulary = 16384;      // some megabytes
  { EngineRun(world, deck).step(); }  // what the runtime loads once
  const std::int64_t before = device_memory_state().free;
  EngineRun run(world, deck);
  run.step();
  const DeviceMemory leak(leaked);
  const std::int64_t planned = run.store().bytes(program::Tier::device);
  EXPECT_GT(planned, 4 << 20);
  return before - device_memory_state().free - planned;
}

/// One rank alone on the device knows what it has taken.
TEST(DeviceLaw, TakesTheMemoryThatWasPlanned) {
  const comm::World world;
  if (test_space() == MemorySpace::host || world.size() > 1) return;
  constexpr std::int64_t kGranularity = 4 << 20;  // of two allocations
  EXPECT_GE(beyond_plan(world), 0);
  EXPECT_LE(beyond_plan(world), kGranularity);
  EXPECT_GT(beyond_plan(world, 2 * kGranularity), kGranularity);  // the fault
}

/// Bytes that the plan reserves for the kernels of this rank's stage.
std::int64_t reserved(EngineRun& run) {
  std::int64_t bytes = 0;
  const program::ResidentTable& resident = run.setup().resident;
  for (const program::BufferId id : resident.workspace(run.store().seat().stage))
    bytes += resident.at(id).bytes;
  return bytes;
}

TEST(DeviceLaw, KernelsWorkInTheMemoryThatWasPlannedForThem) {
  const comm::World world;
  if (test_space() == MemorySpace::host) return;
  for (const ZeroCase& c : zero_random(world.size(), law_cases(2), 7)) {
    SCOPED_TRACE(c.name);
    EngineRun run(world, c.deck);
    run.step();
    run.evaluate();
    const std::int64_t used = run.store().gpu()->compute.scratch_used();
    EXPECT_GT(used, 0);
    EXPECT_LE(used, reserved(run));
    EXPECT_LE(reserved(run), used + used / 2);
  }
  if (world.size() > 1) return;
  EngineRun run(world, engine_deck(tiny_llama()));
  const DeviceMemory less(reserved(run) / 2);
  run.store().gpu()->compute.reserve_scratch(less.data(), less.bytes());  // the fault
  try {
    run.step();
    FAIL() << "a plan that was told too little";
  } catch (const Error& error) {
    EXPECT_NE(error.text().find("gemm needs"), std::string::npos) << error.text();
  }
}

// ---- planted faults
// --------------------------------------------------------------------------------

/// A lane is so slow that whoever does not wait for it comes too early, on any machine.
engine::ExecutorOptions slow(Lane lane) {
  engine::ExecutorOptions options;
  options.delay_seconds[static_cast<std::size_t>(lane)] = 0.002;
  return options;
}

/// Streams that do not wait for each other: tokens that are still on their way, sums that leave
/// before they are made. On the host there are no such lanes, and nothing breaks.
TEST(DeviceLaw, AMissingWaitBetweenStreamsIsFound) {
  const comm::World world;
  deck::Deck deck = two_micro_batches(world, tiny_llama());
  deck.run.cuda_graphs = deck::CudaGraphs::off;  // for who waits for a stream breaks a recording
  const auto breaks = [&](const EngineFaults& faults, Lane awaited) {
    double worst = over_bound(world, deck, faults, slow(awaited), awaited != Lane::compute);
    MPI_Bcast(&worst, 1, MPI_DOUBLE, 0, world.comm());
    return !(worst < bounds_from_host());
  };
  const bool device = test_space() == MemorySpace::device;
  for (const auto& [waiting, awaited] :
       {std::pair{Lane::compute, Lane::copy_in}, {Lane::copy_out, Lane::compute}}) {
    EXPECT_FALSE(breaks({}, awaited));
    EXPECT_EQ(breaks(hasty(waiting, awaited), awaited), device);
  }
}

}  // namespace
}  // namespace trireme::validation
