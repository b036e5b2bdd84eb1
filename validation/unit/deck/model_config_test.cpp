// Presets have the sizes they are known by.
#include "validation/unit/deck/try_deck.hpp"

#include <gtest/gtest.h>

namespace trireme::deck::testing {
namespace {

ModelConfig model_of(const std::string& preset, const std::vector<std::string>& more = {}) {
  std::vector<std::string> overrides = {"model.preset=" + preset};
  overrides.insert(overrides.end(), more.begin(), more.end());
  return load_text(
             R"({"data": {"tokens": "t.h5"}, "train_batch_size": 1, "run": {"max_steps": 1}})",
             overrides)
      .model;
}

TEST(ModelConfig, PresetsHaveTheirPublishedSizes) {
  const std::pair<const char*, std::int64_t> sizes[] = {
      {"gpt2-124m", 124439808},   {"gpt2-355m", 354823168},   {"gpt2-774m", 774030080},
      {"gpt2-1.5b", 1557611200},  {"llama-160m", 162417408},  {"llama-1b", 1235814400},
      {"llama-3b", 3212749824},   {"llama-7b", 6738415616},   {"llama-8b", 8030261248},
      {"llama-13b", 13015864320}, {"llama-70b", 68976648192}, {"llama-5m", 5048576}};
  EXPECT_EQ(std::size(sizes), preset_names().size());
  for (const auto& [name, size] : sizes) EXPECT_EQ(parameter_count(model_of(name)), size) << name;
}

TEST(ModelConfig, PresetsFillAndDecksOverride) {
  const ModelConfig plain = model_of("llama-8b");
  EXPECT_EQ(plain.kv_heads, 8);
  EXPECT_EQ(plain.rotary_theta, 500000);
  EXPECT_EQ(plain.activation, Activation::swiglu);
  const ModelConfig shallow = model_of("llama-8b", {"model.layers=2", "model.context=128"});
  EXPECT_EQ(shallow.layers, 2);
  EXPECT_EQ(shallow.context, 128);
  EXPECT_EQ(shallow.hidden, 4096);
  EXPECT_EQ(shallow.ffn_hidden, 14336);
  // Another width: the family's rules, not the preset's, for what hangs on it.
  const ModelConfig narrow = model_of("gpt2-124m", {"model.hidden=256", "model.heads=4"});
  EXPECT_EQ(narrow.ffn_hidden, 1024);
  EXPECT_EQ(narrow.head_dim, 64);
  EXPECT_EQ(narrow.kv_heads, 4);
}

TEST(ModelConfig, FamiliesHaveTheirDefaults) {
  const ModelConfig gpt = model_of("gpt2-124m");
  EXPECT_EQ(gpt.norm.type, NormType::layernorm);
  EXPECT_EQ(gpt.activation, Activation::gelu_tanh);
  EXPECT_EQ(gpt.positions, Positions::learned);
  EXPECT_TRUE(gpt.bias.qkv && gpt.bias.projection && gpt.bias.mlp && gpt.tied_embeddings);
  const ModelConfig llama = load_text(small_deck()).model;
  EXPECT_EQ(llama.norm.type, NormType::rmsnorm);
  EXPECT_EQ(llama.positions, Positions::rotary);
  EXPECT_FALSE(llama.bias.qkv || llama.bias.projection || llama.bias.mlp || llama.tied_embeddings);
  EXPECT_EQ(llama.head_dim, 16);
  EXPECT_EQ(llama.ffn_hidden, 256);  // 8/3 x 64 rounded up to 256
}

TEST(ModelConfig, FlopsLeaveOutPositions) {
  const ModelConfig gpt = model_of("gpt2-124m");
  EXPECT_EQ(position_parameter_count(gpt), 1024 * 768);
  EXPECT_DOUBLE_EQ(flops_per_token(gpt), 6.0 * (124439808 - 1024 * 768) + 12.0 * 12 * 768 * 1024);
}

TEST(ModelConfig, FlopsOfWhatIsTrained) {
  const auto of = [](const std::string& frozen) {
    return load_text(small_deck(), {"model.frozen=" + frozen}).model;
  };
  const ModelConfig all = of("[]");
  ASSERT_FALSE(all.tied_embeddings);
  const auto layer = static_cast<double>(layer_parameter_count(all));
  const auto table = static_cast<double>(all.vocabulary * all.hidden);
  const double attention = 8.0 * static_cast<double>(all.heads * all.head_dim * all.context);
  const double whole = flops_per_token(all);
  // A layer between trained blocks saves its weight gradients.
  EXPECT_DOUBLE_EQ(flops_per_token(of(R"(["layers.1"])")), whole - 2 * layer);
  // With nothing trained before it, all of its backward.
  EXPECT_DOUBLE_EQ(flops_per_token(of(R"(["embedding", "layers.0"])")),
                   whole - 4 * table - 4 * layer - attention);
  EXPECT_EQ(of(R"(["layers.1-2", "head"])").frozen,
            (std::vector<bool>{false, false, true, true, false, true}));
}

}  // namespace
}  // namespace trireme::deck::testing
