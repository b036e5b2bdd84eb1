// What a model is before it runs: names, sizes, divisions that work and that do not, and plans that
// keep their word about halves.

#include "validation/harness/tiny_models.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace trireme::validation {
namespace {

std::int64_t held_elements(const models::Model& model) {
  std::int64_t sum = 0;
  for (const nn::Unit& unit : model.units)
    for (const nn::PlacedParameter& placed : unit.parameters)
      for (std::int64_t r = 0; r < model.placement.tensor; ++r) {
        const nn::Parameter& p = placed.parameter;
        if (p.split_dim < 0 && r > 0) continue;
        const std::int64_t rows =
            p.split_dim < 0 ? p.shape[0] : nn::local_range(p, model.placement.tensor, r).size();
        sum += p.shape.with(std::max(p.split_dim, 0), rows).elements();
      }
  return sum;
}

TEST(Build, CountsParametersAsTheDeckDoes) {
  for (const auto& [name, config] : tiny_models())
    for (const std::int64_t tensor : {1, 2, 4}) {
      SCOPED_TRACE(name);
      const auto model = models::build_language_model(config, tiny_placement(tensor, tensor == 4));
      EXPECT_EQ(model.parameters, deck::parameter_count(config));
      EXPECT_EQ(model.position_parameters, deck::position_parameter_count(config));
      // The ranks' shards are the whole, padding left out.
      EXPECT_EQ(held_elements(model), model.parameters);
      auto wider = config;
      ++wider.vocabulary;
      EXPECT_NE(model.parameters, deck::parameter_count(wider));
    }
}

TEST(Build, UnitsAreAlignedAndWithoutOverlap) {
  for (const auto& [name, config] : tiny_models()) {
    SCOPED_TRACE(name);
    const auto model = models::build_language_model(config, tiny_placement(2, true));
    std::set<std::string> names;
    for (const nn::Unit& unit : model.units) {
      EXPECT_EQ(unit.elements % nn::kParameterAlignment, 0);
      std::vector<Range> taken;
      for (const nn::PlacedParameter& placed : unit.parameters) {
        EXPECT_TRUE(names.insert(logical_name(unit, placed.parameter)).second);
        taken.push_back({placed.offset, placed.offset + placed.elements()});
        const bool partial =
            placed.offset >= unit.partial.begin && placed.offset < unit.partial.end;
        EXPECT_EQ(partial, placed.parameter.partial_gradient) << placed.parameter.name;
        const bool aligned = placed.offset % nn::kParameterAlignment == 0;
        EXPECT_TRUE(aligned || placed.parameter.follows_previous) << placed.parameter.name;
      }
      std::sort(taken.begin(), taken.end(),
                [](const Range& a, const Range& b) { return a.begin < b.begin; });
      for (std::size_t i = 0; i < taken.size(); ++i)
        EXPECT_LE(taken[i].end, i + 1 < taken.size() ? taken[i + 1].begin : unit.elements);
    }
    EXPECT_TRUE(names.contains("layers.1.attention.q_proj.weight"));
    EXPECT_TRUE(names.contains("embedding.tokens.weight"));
    EXPECT_EQ(names.contains("head.output.weight"), !config.tied_embeddings);
    EXPECT_EQ(std::count_if(model.units.begin(), model.units.end(),
                            [](const nn::Unit& unit) { return unit.tied; }),
              config.tied_embeddings ? 1 : 0);
  }
}

/// Only matrices decay: no norm, no bias.
TEST(Build, MatricesDecay) {
  for (const auto& [name, config] : tiny_models())
    for (const nn::Unit& unit : models::build_language_model(config, tiny_placement()).units)
      for (const nn::PlacedParameter& placed : unit.parameters)
        EXPECT_EQ(placed.parameter.decays, placed.parameter.shape.rank() == 2)
            << placed.parameter.name;
}

std::string refusal(const deck::ModelConfig& config, const nn::Placement& placement) {
  try {
    models::build_language_model(config, placement);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kUsage);
    return error.text();
  }
  return "";
}

TEST(Build, RefusesWhatDoesNotDivide) {
  const auto contains = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  contains(refusal(tiny_llama(), tiny_placement(3)), "model.heads (8)");
  contains(refusal(tiny_llama(), tiny_placement(8)), "model.kv_heads (4)");
  contains(refusal(tiny_llama(), tiny_placement(8)), "nearest: parallel.tensor = 4");
  auto odd = tiny_llama();
  odd.ffn_hidden = 21;
  contains(refusal(odd, tiny_placement(2)), "model.ffn_hidden (21)");

  auto placement = tiny_placement(2, true);
  placement.sequence = 5;
  placement.micro_batch = 1;
  contains(refusal(tiny_llama(), placement), "tokens of a micro-batch (5)");
  placement.sequence = 6;
  placement.micro_batch = 3;  // 9 rows a rank: one and a half sequences
  contains(refusal(tiny_llama(), placement), "parallel.sequence");
  placement.micro_batch = 4;
  EXPECT_EQ(refusal(tiny_llama(), placement), "");
}

/// What a schedule may rely on when it delays weight gradients: their steps read no weights and
/// write nothing that the input half reads.
std::string broken_half(const nn::BlockPlan& plan) {
  std::set<nn::Slot> delayed;
  for (const nn::Step& step : plan.backward) {
    if (step.half == nn::Half::weight) {
      if (!step.weights_of.empty()) return step.name + " reads weights";
      delayed.insert(step.writes.begin(), step.writes.end());
      continue;
    }
    for (const nn::Slot slot : step.reads)
      if (delayed.contains(slot)) return step.name + " waits for the weight half";
  }
  return "";
}

TEST(Build, WeightHalvesMayBeDelayed) {
  for (const auto& [name, config] : tiny_models())
    for (const bool divided : {false, true}) {
      const auto model =
          models::build_language_model(config, tiny_placement(divided ? 2 : 1, divided));
      for (const models::Block& block : model.blocks) EXPECT_EQ(broken_half(*block.plan), "");
      // The faults.
      nn::BlockPlan plan = *model.blocks[1].plan;
      const auto half = [](const nn::Step& step) { return step.half == nn::Half::weight; };
      auto found = std::find_if(plan.backward.begin(), plan.backward.end(), half);
      ASSERT_NE(found, plan.backward.end());
      found->weights_of = {0};
      EXPECT_NE(broken_half(plan), "");
      found->weights_of = {};
      found->writes = {plan.slot_of(nn::Role::output_gradient)};
      EXPECT_NE(broken_half(plan), "");
    }
}

/// Bytes of internal buffers that forward writes and backward reads.
std::int64_t kept_bytes(const nn::BlockPlan& plan) {
  std::set<nn::Slot> kept;
  std::set<nn::Slot> written;
  for (const nn::Step& step : plan.backward) {
    for (const nn::Slot slot : step.reads)
      if (!written.contains(slot)) kept.insert(slot);
    written.insert(step.writes.begin(), step.writes.end());
  }
  std::int64_t sum = 0;
  for (const nn::Slot slot : kept) {
    const nn::BufferSpec& spec = plan.buffers[static_cast<std::size_t>(slot)];
    if (spec.role == nn::Role::internal) sum += spec.bytes();
  }
  return sum;
}

/// The formula of lib/nn/blocks.hpp.
TEST(Build, KeepsForBackwardWhatItSays) {
  for (const auto& [name, m] : tiny_models())
    for (const std::int64_t t : {1, 2, 4})
      for (const DType dtype : {DType::f32, DType::bf16}) {
        SCOPED_TRACE(name + ", tensor " + std::to_string(t));
        const bool parallel = t > 1;
        const auto placement = tiny_placement(t, parallel, dtype);
        const auto s = static_cast<std::int64_t>(size_of(dtype));
        const std::int64_t q = m.heads * m.head_dim;
        const std::int64_t v = m.kv_heads * m.head_dim;
        const std::int64_t statistics = m.norm.type == deck::NormType::layernorm ? 8 : 4;
        const std::int64_t rows = 3 * m.hidden * s + 2 * statistics;  // of the residual stream
        std::int64_t divided = (2 * q + 2 * v) * s + 4 * m.heads + 2 * m.ffn_hidden * s;
        if (m.qk_norm) divided += (q + v) * s + 4 * (m.heads + m.kv_heads);
        const auto model = models::build_language_model(m, placement);
        EXPECT_EQ(kept_bytes(*model.blocks[1].plan),
                  placement.local_tokens() * rows + placement.tokens() * divided / t);
      }
}

TEST(Build, CountsTheTrafficOfItsSegments) {
  const auto placement = tiny_placement();
  const auto model = models::build_language_model(tiny_llama(), placement);
  for (const models::Block& block : model.blocks)
    for (const auto* steps : {&block.plan->forward, &block.plan->backward})
      for (const nn::Step& step : *steps) EXPECT_GT(step.bytes, 0) << step.name;
  const nn::Step& norm = model.blocks[1].plan->forward[0];  // reads x, writes normed and rstd
  EXPECT_EQ(norm.bytes, placement.tokens() * (2 * tiny_llama().hidden + 1) * 4);
}

TEST(Build, CountsTheWorkOfItsProducts) {
  const auto config = tiny_llama();
  const auto placement = tiny_placement();
  const auto model = models::build_language_model(config, placement);
  const double tokens = static_cast<double>(placement.tokens());
  const std::int64_t q = config.heads * config.head_dim;
  const std::int64_t kv = config.kv_heads * config.head_dim;
  const std::int64_t weights =
      config.hidden * (2 * q + 2 * kv) + 3 * config.hidden * config.ffn_hidden;
  const double pairs = 0.5 * tokens * static_cast<double>(placement.sequence + 1);
  const double attention = 4 * pairs * static_cast<double>(q);
  EXPECT_DOUBLE_EQ(model.blocks[1].plan->forward_flops(),
                   2 * tokens * static_cast<double>(weights) + attention);
  EXPECT_DOUBLE_EQ(model.blocks[1].plan->backward_flops(),
                   4 * tokens * static_cast<double>(weights) + 2.5 * attention);
}

}  // namespace
}  // namespace trireme::validation
