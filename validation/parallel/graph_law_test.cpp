// Steps in CUDA graphs compute what steps without them do, to the bit, whatever grid, stage and
// tier: on the emulated GPU here, on a real one under validation/gpu/run. On the host there are no
// graphs, and nothing differs.

#include "lib/engine/stream_marks.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/zero_cases.hpp"
#include "validation/parallel/zero_trace.hpp"

#include <cstdio>
#include <numeric>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime_and_device(1);

using deck::CudaGraphs;
using engine::GraphUse;

struct Steps {
  Trace trace;
  GraphUse use;
  std::int64_t of_stream = 0;  // instructions of the compute lane
};

Steps steps(const comm::World& world, deck::Deck deck, CudaGraphs graphs,
            const engine::GraphFaults& faults = {}) {
  deck.run.cuda_graphs = graphs;
  Steps made;
  TraceOptions options;
  options.executor.graph_faults = faults;
  options.at_end = [&](EngineRun& run) {
    made.use = run.executor().graphs();
    for (const program::Instruction& i : run.executor().instructions())
      made.of_stream += i.lane == program::Lane::compute && test_space() == MemorySpace::device &&
                        engine::runs_in_stream(run.setup().training, i);
  };
  made.trace = trace_of(world, deck, options);
  return made;
}

std::int64_t plain(const GraphUse& use) {
  return std::accumulate(use.plain.begin(), use.plain.end(), std::int64_t{0});
}

/// The same steps twice: what graphs did of them.
GraphUse expect_same_bits(const comm::World& world, const deck::Deck& deck) {
  const Steps on = steps(world, deck, CudaGraphs::on);
  const Steps off = steps(world, deck, CudaGraphs::off);
  EXPECT_EQ(on.trace, off.trace);
  EXPECT_EQ(on.use.why_none, "");
  EXPECT_EQ(on.use.inside + plain(on.use), on.of_stream);
  EXPECT_GE(on.use.inside, 2 * on.use.graphs);
  EXPECT_EQ(off.use.graphs, 0);
  return on.use;
}

TEST(GraphLaw, EveryGridStageAndTierComputesTheSame) {
  const comm::World world;
  std::int64_t graphs = 0;
  std::int64_t inside = 0;
  std::int64_t outside = 0;
  const auto expect_same = [&](const std::string& name, const deck::Deck& deck) {
    SCOPED_TRACE(name);
    const GraphUse use = expect_same_bits(world, deck);
    graphs += use.graphs;
    inside += use.inside;
    outside += plain(use);
  };
  for (const GridCase& c : random_cases(world.size(), law_cases(2), 71))
    expect_same(c.name, c.deck);
  for (const ZeroCase& c : zero_random(world.size(), law_cases(2), 73)) expect_same(c.name, c.deck);
  deck::Deck deck = two_micro_batches(world, tiny_llama());
  deck.parallel.zero.stage = 2;
  deck.parallel.zero.offload_optimizer.tier = deck::Tier::host;
  deck.parallel.zero.offload_optimizer.ratio = 0.5;
  expect_same("optimizer half on the host", deck);
  if (test_space() == MemorySpace::host) return;
  EXPECT_GT(graphs, 0);
  if (world.rank() == 0)
    std::printf("%lld graphs hold %lld of %lld instructions\n", static_cast<long long>(graphs),
                static_cast<long long>(inside), static_cast<long long>(inside + outside));
}

/// Without dropout a micro-batch is few graphs; with it, what draws is in none.
TEST(GraphLaw, WhatDrawsRandomNumbersIsInNone) {
  const comm::World world;
  deck::Deck deck = two_micro_batches(world, tiny_gpt());
  const GraphUse steady = expect_same_bits(world, deck);
  deck.model.dropout = {0.1, 0.1, 0.1};
  const GraphUse drawing = expect_same_bits(world, deck);
  if (test_space() == MemorySpace::host) return;
  EXPECT_EQ(steady.plain[GraphUse::random], 0);
  EXPECT_GT(drawing.plain[GraphUse::random], 0);
  EXPECT_GT(drawing.graphs, 0);
  EXPECT_GT(steady.inside, plain(steady));
  for (const GraphUse& use : {steady, drawing})
    EXPECT_GT(use.plain[GraphUse::update] + use.plain[GraphUse::conditional], 0);
}

/// A loss scale that doubles at every step reaches graphs; the fault: it does not.
TEST(GraphLaw, AChangedLossScaleReachesGraphs) {
  const comm::World world;
  deck::Deck deck = two_micro_batches(world, tiny_llama());
  deck.precision.compute = DType::f16;
  deck.precision.loss_scale = {.dynamic = true, .initial = 16, .window = 1};
  expect_same_bits(world, deck);
  const Trace sound = steps(world, deck, CudaGraphs::off).trace;
  const engine::GraphFaults stale{.stale_scalars = true};
  const bool same = steps(world, deck, CudaGraphs::on, stale).trace == sound;
  EXPECT_EQ(same, test_space() == MemorySpace::host);
}

/// Evaluations without dropout, then with it: a body that begins to draw leaves its graph.
TEST(GraphLaw, ABodyThatBeginsToDrawLeavesItsGraph) {
  const comm::World world;
  deck::Deck deck = two_micro_batches(world, tiny_gpt());
  deck.model.dropout = {0.1, 0.1, 0.1};
  EngineRun run(world, deck);
  const auto load = [&](std::int64_t first, const TensorView& tokens, const TensorView&) {
    for (std::int64_t i = 0; tokens && i < tokens.elements(); ++i)
      tokens.as<std::int32_t>()[i] = static_cast<std::int32_t>((first + 5 * i) % 16);
    return tokens ? tokens.width() : 0;
  };
  const auto losses = [&](CudaGraphs graphs) {
    engine::ExecutorOptions options;
    options.graphs = graphs;
    engine::Executor evaluation(run.setup().model, run.setup().evaluation, run.store(),
                                run.communicators(), run.place(), deck.optimizer, load, nullptr,
                                options);
    std::vector<double> made;
    for (int step = 0; step < 6; ++step) {
      engine::StepInput input;
      input.scalars.step = step;
      input.scalars.training = step >= 3;
      made.push_back(evaluation.run(input).loss_sum);
      const GraphUse& use = evaluation.graphs();
      EXPECT_EQ(use.plain[GraphUse::random] > 0, step > 3 && use.graphs > 0);
    }
    return made;
  };
  const std::vector<double> want = losses(CudaGraphs::off);
  EXPECT_EQ(want[1], want[2]);
  EXPECT_NE(want[4], want[5]);
  EXPECT_EQ(losses(CudaGraphs::on), want);
}

}  // namespace
}  // namespace trireme::validation
