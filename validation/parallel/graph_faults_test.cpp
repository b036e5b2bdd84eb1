// What would make CUDA graphs wrong, planted on the emulated GPU: work that comes before another
// lane's, scratch memory that lies elsewhere, a runtime that makes no graph, a device that is lost.

#include "validation/emulation/emulation.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/zero_trace.hpp"

#include <algorithm>
#include <cstring>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime_and_device(1);

using deck::CudaGraphs;

// cudaError_t
constexpr int kMemoryAllocation = 2;
constexpr int kUncorrectable = 214;

bool here() { return test_space() == MemorySpace::device; }

deck::Deck deck_with(const comm::World& world, CudaGraphs graphs) {
  deck::Deck deck = two_micro_batches(world, tiny_llama());
  deck.run.cuda_graphs = graphs;
  return deck;
}

/// A GPU that works at once, and tokens that come late: a stretch that begins before those of the
/// second micro-batch are there is wrong.
TEST(GraphFaults, AStretchAcrossAWaitForAnotherLaneIsFound) {
  if (!here()) return;
  const comm::World world;
  const auto trace = [&](CudaGraphs graphs, bool across) {
    TraceOptions options;
    options.executor.delay_seconds[static_cast<std::size_t>(program::Lane::copy_in)] = 0.005;
    options.executor.graph_faults.across_waits = across;
    return trace_of(world, deck_with(world, graphs), options);
  };
  emulation::set_eager(true);
  const Trace want = trace(CudaGraphs::off, false);
  EXPECT_EQ(trace(CudaGraphs::on, false), want);
  EXPECT_FALSE(trace(CudaGraphs::on, true) == want);
  emulation::set_eager(false);
}

/// Bytes of the emulated device's memory, which the host may look at, that are not `value`.
std::int64_t others(const void* memory, std::int64_t bytes, std::byte value) {
  const auto* first = static_cast<const std::byte*>(memory);
  return bytes - std::count(first, first + bytes, value);
}

/// The stream's scratch memory is reserved elsewhere; then graphs leave the old one alone.
TEST(GraphFaults, ScratchMemoryThatMovedIsSeen) {
  if (!here()) return;
  const comm::World world;
  constexpr std::byte kUntouched{0x5a};
  const auto written_after_move = [&](bool stale) {
    DeviceMemory elsewhere;
    engine::ExecutorOptions options;
    options.graph_faults.stale_scratch = stale;
    EngineRun run(world, deck_with(world, CudaGraphs::on), {}, options);
    run.step();
    run.step();
    Stream& stream = run.store().gpu()->compute;
    const std::int64_t bytes = stream.scratch_used();
    auto* before = const_cast<void*>(stream.scratch_place());
    elsewhere = DeviceMemory(bytes);
    stream.reserve_scratch(elsewhere.data(), bytes);
    std::memset(before, static_cast<int>(kUntouched), static_cast<std::size_t>(bytes));
    run.step();
    return others(before, bytes, kUntouched);
  };
  EXPECT_EQ(written_after_move(false), 0);
  EXPECT_GT(written_after_move(true), 0);
}

/// The kernels are the same, so that no graph is made anew.
TEST(GraphFaults, AnotherLossScaleUpdatesGraphsInPlace) {
  if (!here()) return;
  const comm::World world;
  deck::Deck deck = deck_with(world, CudaGraphs::on);
  deck.precision.compute = DType::f16;
  deck.precision.loss_scale = {.dynamic = true, .initial = 16, .window = 1};
  EngineRun run(world, deck);
  run.step();
  run.step();
  const emulation::GraphCounts before = emulation::graph_counts();
  run.step();
  const emulation::GraphCounts after = emulation::graph_counts();
  EXPECT_EQ(after.made, before.made);
  EXPECT_EQ(after.updated - before.updated, deck.batch.accumulation);  // the heads'
  EXPECT_EQ(after.launched - before.launched, run.executor().graphs().graphs);
}

TEST(GraphFaults, WithoutGraphsARunGoesOnAndSaysWhyUnlessTheyAreAskedFor) {
  if (!here()) return;
  const comm::World world;
  const auto losses = [&](CudaGraphs graphs, std::string& warnings) {
    EngineRun run(world, deck_with(world, graphs));
    std::vector<double> made;
    for (int step = 0; step < 4; ++step) {
      const engine::StepResult result = run.step();
      made.push_back(result.loss_sum);
      warnings += result.warning;
    }
    EXPECT_EQ(run.executor().graphs().graphs, 0);
    return made;
  };
  std::string none;
  const std::vector<double> want = losses(CudaGraphs::off, none);
  EXPECT_EQ(none, "");
  emulation::refuse_graphs(kMemoryAllocation);
  std::string warning;
  EXPECT_EQ(losses(CudaGraphs::automatic, warning), want);
  for (const char* part : {"run.cuda_graphs \"auto\"", "without graphs", "making a graph"})
    EXPECT_NE(warning.find(part), std::string::npos) << warning;
  EXPECT_EQ(warning.find("run.cuda_graphs"), warning.rfind("run.cuda_graphs"));  // said once
  try {
    losses(CudaGraphs::on, none);
    ADD_FAILURE() << "graphs that were asked for are missing";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kUsage);
    EXPECT_NE(error.text().find("run.cuda_graphs \"on\""), std::string::npos) << error.text();
  }
  world.barrier();
  emulation::refuse_graphs(0);
}

/// No warning, but the error that it is.
TEST(GraphFaults, ADeviceThatIsLostWhileAGraphIsMadeIsNamed) {
  if (!here()) return;
  const comm::World world;
  EngineRun run(world, deck_with(world, CudaGraphs::automatic));
  run.step();
  emulation::refuse_graphs(kUncorrectable);
  try {
    run.step();
    ADD_FAILURE() << "a step on a lost device";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kPeer);
    EXPECT_NE(error.text().find("was lost"), std::string::npos) << error.text();
  }
  world.barrier();
  emulation::refuse_graphs(0);
}

}  // namespace
}  // namespace trireme::validation
