// Configurations written for DeepSpeed, as they are found in the wild, plus our two sections.
#include "validation/unit/deck/try_deck.hpp"

#include "trireme_paths.hpp"

#include <gtest/gtest.h>

namespace trireme::deck::testing {
namespace {

const std::vector<std::string> kOurs = {"model.preset=gpt2-124m", "data.tokens=tokens.h5",
                                        "run.max_steps=400"};

Source config(const std::string& name) {
  return read_source(std::filesystem::path(trireme::kSourceDir) / "validation/unit/deck/decks" /
                     name);
}

TEST(DeepSpeed, BingBert) {
  const Deck deck = load(config("bing_bert.json"), kOurs, 16);
  EXPECT_EQ(deck.batch.accumulation, 4);
  EXPECT_EQ(deck.optimizer.type, OptimizerType::adamw);
  EXPECT_FALSE(deck.optimizer.bias_correction);
  EXPECT_TRUE(deck.precision.loss_scale.dynamic);
  EXPECT_EQ(deck.run.steps_per_print, 1000);
}

TEST(DeepSpeed, MegatronGpt) {
  const Deck deck = load(config("megatron_gpt.json"), kOurs, 8);
  EXPECT_EQ(deck.precision.loss_scale.initial, 2048);
  EXPECT_EQ(deck.precision.loss_scale.window, 500);
  EXPECT_EQ(deck.batch.accumulation, 16);
  EXPECT_TRUE(deck.parallel.zero.overlap_comm);
  EXPECT_EQ(warning_about(deck, "zero_optimization.overlap_comm"), "");
  EXPECT_TRUE(contains(warning_about(deck, "flops_profiler.profile_step"), "no influence"));
  EXPECT_EQ(warning_about(deck, "tensorboard.enabled"), "");
}

TEST(DeepSpeed, HuggingFaceAuto) {
  const Deck deck = load(config("hugging_face_auto.json"), kOurs, 4);
  EXPECT_EQ(deck.batch.micro, 4);
  EXPECT_EQ(deck.batch.accumulation, 1);
  EXPECT_EQ(deck.precision.compute, DType::f32);
  EXPECT_EQ(deck.optimizer.lr, 1e-3);
  EXPECT_EQ(deck.gradient_clipping, 1.0);
  EXPECT_EQ(deck.scheduler.total_num_steps, 400);
  EXPECT_EQ(deck.scheduler.warmup_max_lr, 1e-3);
  for (const char* key : {"optimizer.params.lr", "fp16.enabled", "gradient_clipping"})
    EXPECT_TRUE(contains(warning_about(deck, key), "nothing to be derived from")) << key;
}

TEST(DeepSpeed, DefaultsThatChangedAreWarnedOf) {
  std::string text = small_deck();
  EXPECT_EQ(warning_about(load_text(text), "gradient_clipping"), "");
  const std::string line = "\"gradient_clipping\": 1.0,";
  text.erase(text.find(line), line.size());
  const Deck deck = load_text(text);
  EXPECT_EQ(deck.gradient_clipping, 1.0);
  EXPECT_TRUE(contains(warning_about(deck, "gradient_clipping"), "before June 2026"));
  const std::string pinned = "zero_optimization.offload_optimizer.pin_memory";
  EXPECT_EQ(warning_about(deck, pinned), "");
  EXPECT_TRUE(contains(
      warning_about(load_text(text, {"zero_optimization.offload_optimizer.device=none"}), pinned),
      "older DeepSpeed versions"));
}

TEST(DeepSpeed, ThreadCountIsReadAndWarnedOf) {
  const Deck deck = load_text(small_deck(R"("aio": {"thread_count": 4},)"));
  EXPECT_TRUE(contains(deck.resolved_json, "\"intra_op_parallelism\": 4"));
  EXPECT_TRUE(contains(warning_about(deck, "aio.intra_op_parallelism"), "thread_count is read as"));
}

}  // namespace
}  // namespace trireme::deck::testing
