// ZeRO sections as DeepSpeed's documentation, Hugging Face's templates and their users write them:
// they load as they are, or the key that can't be is named.
#include "validation/unit/deck/try_deck.hpp"

#include "trireme_paths.hpp"

#include <gtest/gtest.h>

#include <set>

namespace trireme::deck::testing {
namespace {

Deck resolve_config(const std::string& section, std::int64_t ranks = 8) {
  return resolve_text(small_deck(section), {}, ranks);
}

std::set<std::string> warned_keys(const Deck& deck) {
  std::set<std::string> keys;
  for (const Warning& warning : deck.warnings) keys.insert(warning.key);
  return keys;
}

TEST(ZeroConfigs, Stage1OfTheTutorial) {
  const Deck deck =
      resolve_config(R"("zero_optimization": {"stage": 1, "reduce_bucket_size": 5e8},)");
  EXPECT_EQ(deck.parallel.zero.stage, 1);
  EXPECT_EQ(deck.parallel.zero.reduce_per, Per::step);
  EXPECT_TRUE(deck.warnings.empty());
  EXPECT_EQ(resolve_config(R"("zero_optimization": true,)").parallel.zero.stage, 1);
}

TEST(ZeroConfigs, Stage2OfHuggingFace) {
  const Deck deck = resolve_config(R"("zero_optimization": {
    "stage": 2,
    "offload_optimizer": {"device": "none", "pin_memory": true},
    "allgather_partitions": true, "allgather_bucket_size": 2e8, "overlap_comm": true,
    "reduce_scatter": true, "reduce_bucket_size": "auto", "contiguous_gradients": true
  },)");
  const ZeroConfig& zero = deck.parallel.zero;
  EXPECT_EQ(zero.stage, 2);
  EXPECT_EQ(zero.reduce_per, Per::micro_batch);
  EXPECT_EQ(zero.allgather_bucket_size, 200'000'000);
  EXPECT_EQ(zero.reduce_bucket_size, 500'000'000);
  EXPECT_EQ(warned_keys(deck), (std::set<std::string>{"zero_optimization.reduce_bucket_size"}));
}

TEST(ZeroConfigs, OffloadOfTheTutorialsFirstForm) {
  const Deck deck = resolve_config(R"("zero_optimization": {
    "stage": 2, "cpu_offload": true, "contiguous_gradients": true, "overlap_comm": true,
    "reduce_bucket_size": 5e8
  },)");
  EXPECT_EQ(deck.parallel.zero.offload_optimizer.tier, Tier::host);
  EXPECT_EQ(warned_keys(deck), (std::set<std::string>{"zero_optimization.cpu_offload"}));
}

TEST(ZeroConfigs, Stage3WithBothOnTheHost) {
  const Deck deck = resolve_config(R"("bf16": {"enabled": true}, "zero_optimization": {
    "stage": 3,
    "offload_optimizer": {"device": "cpu", "pin_memory": true},
    "offload_param": {"device": "cpu", "pin_memory": true},
    "overlap_comm": true, "contiguous_gradients": true, "sub_group_size": 1e9,
    "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto",
    "stage3_param_persistence_threshold": "auto", "stage3_max_live_parameters": 1e9,
    "stage3_max_reuse_distance": 1e9, "stage3_gather_16bit_weights_on_model_save": true
  },)");
  const ZeroConfig& zero = deck.parallel.zero;
  EXPECT_EQ(zero.stage, 3);
  EXPECT_EQ(zero.offload_optimizer.tier, Tier::host);
  EXPECT_EQ(zero.offload_param.tier, Tier::host);
  EXPECT_EQ(zero.prefetch_bucket_size, 50'000'000);
  EXPECT_EQ(warned_keys(deck),
            (std::set<std::string>{"zero_optimization.reduce_bucket_size",
                                   "zero_optimization.stage3_prefetch_bucket_size",
                                   "zero_optimization.stage3_param_persistence_threshold",
                                   "zero_optimization.stage3_gather_16bit_weights_on_model_save"}));
}

TEST(ZeroConfigs, InfinityOnNvme) {
  const Source source = read_source(std::filesystem::path(trireme::kSourceDir) /
                                    "validation/unit/deck/decks/zero3_nvme.json");
  const Draft draft = resolve_draft(
      source, {"model.preset=gpt2-124m", "data.tokens=tokens.h5", "run.max_steps=400"}, 4);
  EXPECT_TRUE(draft.mistakes.empty());
  const Deck deck = build_deck(draft, source.path);
  const ZeroConfig& zero = deck.parallel.zero;
  EXPECT_EQ(zero.offload_optimizer.tier, Tier::nvme);
  EXPECT_EQ(zero.offload_param.tier, Tier::nvme);
  EXPECT_EQ(zero.nvme_path, "/local_nvme");
  EXPECT_EQ(zero.aio.block_size, 262144);
  EXPECT_EQ(zero.aio.queue_depth, 32);
  EXPECT_EQ(zero.aio.threads, 1);
  EXPECT_EQ(warned_keys(deck),
            (std::set<std::string>{"aio.intra_op_parallelism", "gradient_clipping",
                                   "zero_optimization.stage3_gather_16bit_weights_on_model_save"}));
}

/// DeepSpeed takes these without a word and does something else, or refuses them.
TEST(ZeroConfigs, CombinationsThatDeepSpeedDoesNotRun) {
  const Deck nvme = resolve_config(
      R"("zero_optimization": {"stage": 1, "offload_optimizer": {"device": "nvme",
         "nvme_path": "/a"}},)");
  EXPECT_EQ(nvme.parallel.zero.offload_optimizer.tier, Tier::nvme);
  EXPECT_EQ(mistakes_of(small_deck(R"("parallel": {"pipeline": 2}, "zero_optimization": {
         "stage": 3, "offload_param": {"device": "cpu"}},)"),
                        {}, 4),
            "");
  EXPECT_EQ(mistakes_of(small_deck(R"("zero_optimization": {"stage": 0,
         "offload_optimizer": {"device": "cpu", "ratio": 0.4}},)"),
                        {}, 4),
            "");
}

TEST(ZeroConfigs, MicsOfTheTutorial) {
  const Deck deck = resolve_config(R"("zero_optimization": {"stage": 3, "mics_shard_size": 4,
    "mics_hierarchical_params_gather": false},)");
  EXPECT_EQ(deck.parallel.zero.shard_ranks, 4);
  EXPECT_TRUE(deck.warnings.empty());
}

TEST(ZeroConfigs, ZeroPlusPlusNamesItsKeys) {
  const std::string text = mistakes_of(small_deck(R"("zero_optimization": {"stage": 3,
    "zero_quantized_weights": true,
    "zero_hpz_partition_size": 16,
    "zero_quantized_gradients": true, "contiguous_gradients": true},)"),
                                       {}, 8);
  EXPECT_TRUE(text.starts_with("3 mistakes in the deck")) << text;
  EXPECT_TRUE(contains(text, "deck.json:3: zero_optimization.zero_quantized_weights")) << text;
  EXPECT_TRUE(contains(text, "deck.json:4: zero_optimization.zero_hpz_partition_size")) << text;
  EXPECT_TRUE(contains(text, "deck.json:5: zero_optimization.zero_quantized_gradients")) << text;
}

TEST(ZeroConfigs, KeysThatDeepSpeedItselfRejects) {
  const std::string text = mistakes_of(small_deck(R"("zero_optimization": {"stage": 2,
    "grad_hooks": true,
    "offload_optimizer": {"device": "cpu", "buffer_size": 1e8}},)"),
                                       {}, 8);
  EXPECT_TRUE(contains(text, "deck.json:3: unknown key \"grad_hooks\"")) << text;
  EXPECT_TRUE(contains(text, "deck.json:4: unknown key \"buffer_size\" in zero_optimization."))
      << text;
}

}  // namespace
}  // namespace trireme::deck::testing
