// Laws of the passes: classes, counts, bytes, recompute, memory, bubble.

#include "lib/program/print.hpp"
#include "lib/program/simulate.hpp"
#include "validation/unit/program/random_decks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace trireme::program {
namespace {

using validation::toy_model;
using validation::ToyShape;

Case make(ToyShape toy, Options options) {
  Case c{toy_model(toy), options, {}};
  c.layout = make_layout(c.model, c.options);
  return c;
}

Options pipeline(int stages, int micros, Schedule schedule = Schedule::one_f_one_b) {
  Options options;
  options.shape = {schedule, stages, 1, micros, false};
  return options;
}

int count(const Compiled& c, Kind kind, Pass pass = Pass::none) {
  int n = 0;
  for (const StageProgram& stage : c.stages)
    for (const Instruction& i : stage.instructions)
      n += i.kind == kind && (pass == Pass::none || i.pass == pass);
  return n;
}

TEST(Compile, ClassesAndInstructionsDoNotGrowWithRanks) {
  ToyShape toy;
  toy.layers = 30;
  Options options = pipeline(16, 32);
  options.data = 2;
  const Compiled few = compile_case(make(toy, options));
  options.data = 80;  // 16 x 80 x 8 = 10,240 ranks
  toy.tensor = 8;
  toy.hidden = 64;
  const Compiled many = compile_case(make(toy, options));
  EXPECT_EQ(many.stages.size(), 16u);
  std::size_t total = 0;
  for (const StageProgram& stage : many.stages) total += stage.instructions.size();
  // 32 blocks, 32 micro-batches, at most 10 instructions each way.
  EXPECT_LT(total, 32u * 32u * 12u);
  EXPECT_EQ(count(few, Kind::send), count(many, Kind::send));
  EXPECT_EQ(count(many, Kind::send), 2 * 15 * 32);
}

TEST(Compile, BytesInATensorParallelLayerFollowTheory) {
  // Per layer and micro-batch: one all-reduce of [tokens, hidden] forward and one backward.
  ToyShape toy;
  toy.tensor = 2;
  toy.layers = 3;
  const Compiled c = compile_case(make(toy, pipeline(1, 2)));
  std::int64_t bytes = 0;
  for (const Instruction& i : c.stages[0].instructions)
    if (i.group == Group::tensor && i.block > 0) bytes += i.bytes;
  EXPECT_EQ(bytes, 3 * 2 * 2 * toy.micro_batch * toy.sequence * toy.hidden * 4);
}

TEST(Compile, EvenMixedPartsAccumulateExactlyOnceFromNothing) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    Case c = random_case(seed);
    if (c.options.shape.forward_only) continue;
    const Compiled compiled = compile_case(c);
    std::map<std::pair<int, int>, int> fresh;  // (stage, unit) -> blocks that start from nothing
    for (const StageProgram& stage : compiled.stages)
      for (const Instruction& i : stage.instructions) {
        if (i.kind != Kind::segment || i.pass != Pass::backward) continue;
        const models::Block& block = c.model.blocks[static_cast<std::size_t>(i.block)];
        for (const int position :
             block.plan->backward[static_cast<std::size_t>(i.step)].gradients_of)
          if (!(i.accumulate >> position & 1u))
            fresh[{stage.stage, block.units[static_cast<std::size_t>(position)]}] |= 1 << i.block;
      }
    for (const auto& [where, blocks] : fresh)
      EXPECT_EQ(blocks & (blocks - 1), 0) << "seed " << seed;
  }
}

TEST(Compile, RecomputeTradesMemoryForSegmentsAndRepeatsNoTransfer) {
  ToyShape toy;
  toy.layers = 12;
  toy.tensor = 2;
  Options options = pipeline(2, 8, Schedule::gpipe);
  const Compiled keep = compile_case(make(toy, options));
  options.recompute = true;
  const Compiled drop = compile_case(make(toy, options));
  EXPECT_LT(drop.memory.at(0, Tier::device), keep.memory.at(0, Tier::device));
  EXPECT_EQ(count(drop, Kind::send), count(keep, Kind::send));
  // The toy layer's backward needs what its norm made: one segment a layer and micro-batch, no
  // collective.
  EXPECT_EQ(count(drop, Kind::segment, Pass::recompute), 12 * 8);
  EXPECT_EQ(count(drop, Kind::all_reduce, Pass::recompute), 0);
}

/// Bytes of a block's input in f32: large beside the alignment of storage.
constexpr std::int64_t kInput = 2 * 64 * 64 * 4;

ToyShape with_large_inputs(int layers, std::int64_t tensor = 1) {
  ToyShape toy;
  toy.layers = layers;
  toy.sequence = toy.hidden = 64;
  toy.tensor = tensor;
  return toy;
}

TEST(Compile, InputsThatWaitElsewhereLeaveTheDevice) {
  // GPipe keeps the input of every layer and micro-batch at once.
  for (const Tier tier : {Tier::device, Tier::host, Tier::nvme})
    for (const bool divided : {false, true}) {
      if (tier == Tier::device && !divided) continue;
      const ToyShape toy = with_large_inputs(6, 2);
      Options options = pipeline(1, 5, Schedule::gpipe);
      options.recompute = true;
      const Compiled here = compile_case(make(toy, options));
      options.activation_tier = tier;
      options.divide_activations = divided;
      const Compiled away = compile_case(make(toy, options));
      const std::int64_t inputs = 6 * 5 * kInput;
      const std::int64_t kept = inputs / (divided ? 2 : 1);
      const std::int64_t leaves = inputs - (tier == Tier::device ? kept : 0);
      const std::int64_t falls = here.memory.at(0, Tier::device) - away.memory.at(0, Tier::device);
      EXPECT_LE(falls, leaves);
      EXPECT_GE(falls, leaves - 4 * kInput);  // what is on its way
      const std::int64_t waits = tier == Tier::device ? 0 : kept;
      EXPECT_EQ(away.memory.at(0, Tier::host) + away.memory.at(0, Tier::nvme), waits);
      EXPECT_EQ(count(away, Kind::fetch), tier == Tier::device ? 0 : 30);
      EXPECT_EQ(count(away, Kind::all_gather), divided ? 30 : 0);
      EXPECT_EQ(count(away, Kind::segment), count(here, Kind::segment));
    }
}

TEST(Compile, InputsAwayAreThoseOfMicroBatchesInFlight) {
  ToyShape toy = with_large_inputs(14);
  Options options = pipeline(4, 8);
  options.layers_per_chunk = {4, 4, 4, 2};
  options.recompute = true;
  options.activation_tier = Tier::host;
  const Compiled c = compile_case(make(toy, options));
  for (std::int32_t s = 0; s < 4; ++s) {
    const std::int64_t most = options.layers_per_chunk[static_cast<std::size_t>(s)] * (4 - s);
    EXPECT_LE(c.memory.at(s, Tier::host), most * kInput) << s;
    EXPECT_GE(c.memory.at(s, Tier::host), (most - 1) * kInput) << s;  // the one just fetched
  }
}

TEST(Compile, InputsComeBackOneBlockAhead) {
  const ToyShape toy = with_large_inputs(6);
  Options options = pipeline(1, 3, Schedule::gpipe);
  options.recompute = true;
  options.activation_tier = Tier::host;
  const Compiled c = compile_case(make(toy, options));
  const auto& list = c.stages[0].instructions;
  int seen = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].kind != Kind::fetch) continue;
    std::set<std::pair<int, int>> visits;  // begun before the first reader
    for (std::size_t k = i + 1; k < list.size(); ++k) {
      if (list[k].step < 0) continue;
      visits.emplace(list[k].block, list[k].micro);
      const auto& reads = list[k].reads;
      if (std::find(reads.begin(), reads.end(), list[i].writes[0]) != reads.end()) break;
    }
    EXPECT_EQ(visits.size(), 2u) << describe(c, list[i]);
    ++seen;
  }
  EXPECT_EQ(seen, 6 * 3);
}

TEST(Compile, MemoryByPurposeStaysBelowTheArena) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    const Compiled c = compile_case(random_case(seed));
    for (std::size_t s = 0; s < c.stages.size(); ++s) {
      const PurposeBytes memory = memory_by_purpose(c, static_cast<std::int32_t>(s));
      std::int64_t sum = 0;
      for (const std::int64_t bytes : memory.bytes) sum += bytes;
      EXPECT_LE(sum, memory.total);
    }
  }
}

TEST(Simulate, BubbleOfEvenStagesIsTheFormula) {
  // (p - 1) / (m + p - 1): Narayanan et al., arXiv 2104.04473, section 2.2, as a share of the whole
  // time.
  ToyShape toy;
  toy.layers = 14;
  Rates rates;
  rates.memory_bytes_per_second = 1e30;
  rates.link_bytes_per_second = 1e30;
  rates.storage_bytes_per_second = 1e30;
  rates.link_latency = 0;
  for (const int micros : {4, 8, 32}) {
    Options options = pipeline(4, micros);
    options.layers_per_chunk = {4, 4, 4,
                                2};  // the head costs as much as two layers less the embedding
    const Simulation run = simulate(compile_case(make(toy, options)), rates);
    ASSERT_EQ(run.stuck, "");
    const double formula = 3.0 / (micros + 3.0);
    EXPECT_NEAR(run.bubble, formula, 0.25 * formula + 0.05) << micros;
  }
  const Simulation alone = simulate(compile_case(make(toy, pipeline(1, 4))), rates);
  EXPECT_NEAR(alone.bubble, 0, 1e-9);
}

TEST(Fingerprint, ChangesWithAnythingThatRanksMustAgreeOn) {
  ToyShape toy;
  const Compiled a = compile_case(make(toy, pipeline(2, 4)));
  const Compiled b = compile_case(make(toy, pipeline(2, 4)));
  EXPECT_EQ(fingerprint(a, 0), fingerprint(b, 0));
  Compiled changed = b;
  changed.stages[0].instructions[3].accumulate ^= 1;
  EXPECT_NE(fingerprint(a, 0), fingerprint(changed, 0));
}

}  // namespace
}  // namespace trireme::program
