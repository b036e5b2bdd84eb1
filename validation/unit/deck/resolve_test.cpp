// Derivation of "auto": batch triple, grid, schedule lengths, model dims; contradictions with
// ranks.
#include "validation/unit/deck/try_deck.hpp"

#include "trireme_paths.hpp"

#include <gtest/gtest.h>

namespace trireme::deck::testing {
namespace {

std::string without_batch(const std::string& batch) {
  std::string text = small_deck();
  const std::string line = "\"train_batch_size\": 8,";
  return text.replace(text.find(line), line.size(), batch);
}

struct Triple {
  const char* keys;
  std::int64_t ranks, global, micro, accumulation;
};

TEST(Resolve, BatchTripleAsDeepSpeedDerivesIt) {
  const Triple triples[] = {
      {R"("train_batch_size": 24, "train_micro_batch_size_per_gpu": 2,)", 4, 24, 2, 3},
      {R"("train_batch_size": 24, "gradient_accumulation_steps": 3,)", 4, 24, 2, 3},
      {R"("train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 3,)", 4, 24, 2, 3},
      {R"("train_batch_size": 24,)", 4, 24, 6, 1},
      {R"("train_micro_batch_size_per_gpu": 2,)", 4, 8, 2, 1},
      {R"("train_micro_batch_size_per_gpu": 2, "train_batch_size": "auto",
          "gradient_accumulation_steps": "auto",)",
       4, 8, 2, 1},
      {R"("train_batch_size": 24, "train_micro_batch_size_per_gpu": 2,
          "gradient_accumulation_steps": 3,)",
       4, 24, 2, 3},
  };
  for (const Triple& t : triples) {
    const Deck deck = load_text(without_batch(t.keys), {}, t.ranks);
    EXPECT_EQ(deck.batch.global, t.global) << t.keys;
    EXPECT_EQ(deck.batch.micro, t.micro) << t.keys;
    EXPECT_EQ(deck.batch.accumulation, t.accumulation) << t.keys;
  }
  // What integer division loses is a mistake, as DeepSpeed's assertion says.
  for (const char* keys : {R"("train_batch_size": 7,)",
                           R"("train_batch_size": 24, "train_micro_batch_size_per_gpu": 5,)",
                           R"("train_batch_size": 2,)"})
    EXPECT_TRUE(contains(refusal(without_batch(keys), {}, 4), "the batch does not add up")) << keys;
  EXPECT_TRUE(contains(refusal(without_batch(R"("gradient_accumulation_steps": 2,)")),
                       "the batch is missing"));
}

TEST(Resolve, DataAxisFollowsRanks) {
  const std::string text = small_deck(R"("parallel": {"tensor": 2, "pipeline": 2},)");
  EXPECT_EQ(load_text(text, {}, 8).parallel.data, 2);
  EXPECT_EQ(load_text(text, {}, 4).parallel.data, 1);
  EXPECT_EQ(load_text(text, {}, std::nullopt).parallel.ranks(), 4);
  EXPECT_TRUE(contains(refusal(text, {}, 6), "6 ranks do not divide by parallel.tensor 2"));
  EXPECT_TRUE(contains(refusal(text, {"parallel.data=2"}, 4), "needs 8 ranks, 4 were started"));
  EXPECT_EQ(load_text(text, {"parallel.data=2", "train_batch_size=16"}, 8).batch.micro, 8);
}

TEST(Resolve, TensorAxisHasThreeNames) {
  EXPECT_EQ(
      load_text(small_deck(R"("tensor_parallel": {"autotp_size": 2},)"), {}, 2).parallel.tensor, 2);
  EXPECT_EQ(
      load_text(small_deck(R"("tensor_parallel": {"tp": {"tp_size": 2}},)"), {}, 2).parallel.tensor,
      2);
  const std::string both =
      small_deck(R"("tensor_parallel": {"autotp_size": 2}, "parallel": {"tensor": 4},)");
  EXPECT_TRUE(contains(refusal(both, {}, 4),
                       "tensor_parallel.autotp_size 2 contradicts "
                       "parallel.tensor 4"));
  EXPECT_EQ(load_text(both, {"parallel.tensor=2"}, 2).parallel.tensor, 2);
}

TEST(Resolve, GridThatDoesNotFitTheModel) {
  EXPECT_TRUE(contains(
      refusal(small_deck(), {"parallel.tensor=4"}, 4),
      "model.kv_heads 2 does not divide by parallel.tensor 4; nearest: parallel.tensor 2"));
  EXPECT_TRUE(
      contains(refusal(small_deck(), {"parallel.pipeline=8"}, 8),
               "8 stages (pipeline 8 x virtual_stages 1) are more than the model's 6 blocks"));
  EXPECT_TRUE(
      contains(refusal(small_deck(), {"parallel.layers_per_stage=[2,1]", "parallel.pipeline=2"}, 2),
               "2 entries with the sum 3; expected 2 entries"));
  EXPECT_EQ(load_text(small_deck(), {"parallel.layers_per_stage=[3,1]", "parallel.pipeline=2"}, 2)
                .parallel.layers_per_stage,
            (std::vector<std::int64_t>{3, 1}));
  EXPECT_TRUE(contains(refusal(small_deck(), {"model.heads=5", "model.kv_heads=5"}),
                       "model.hidden 64 does not divide by model.heads 5"));
  EXPECT_TRUE(contains(refusal(small_deck(), {"model.kv_heads=3"}),
                       "model.heads 4 does not divide by model.kv_heads 3"));
}

TEST(Resolve, EmptyMiddleStagesAreMistakes) {
  const auto with = [](const char* layers) {
    return std::vector<std::string>{std::string("parallel.layers_per_stage=") + layers,
                                    "parallel.pipeline=3"};
  };
  EXPECT_TRUE(
      contains(refusal(small_deck(), with("[2, 0, 2]"), 3), "leaves stage 1 without a block"));
  EXPECT_EQ(refusal(small_deck(), with("[0, 4, 0]"), 3), "");  // they hold embedding and head
}

TEST(Resolve, SequenceShardsAreWholeOrEqualParts) {
  const std::vector<std::string> base = {"parallel.tensor=2", "parallel.sequence=true",
                                         "train_batch_size=auto"};
  const auto with = [&](const char* micro, const char* context) {
    auto all = base;
    all.push_back(std::string("train_micro_batch_size_per_gpu=") + micro);
    all.push_back(std::string("model.context=") + context);
    return all;
  };
  EXPECT_EQ(refusal(small_deck(), with("1", "32"), 2), "");  // half a sample
  EXPECT_EQ(refusal(small_deck(), with("4", "33"), 2), "");  // two samples
  EXPECT_TRUE(contains(refusal(small_deck(), with("3", "32"), 2), "neither whole samples"));
  EXPECT_TRUE(contains(refusal(small_deck(), with("1", "33"), 2), "neither whole samples"));
  EXPECT_TRUE(load_text(small_deck(), with("1", "32"), 2).parallel.sequence);
  const Deck alone = load_text(small_deck(), {"parallel.sequence=true"});
  EXPECT_FALSE(alone.parallel.sequence);
  EXPECT_TRUE(contains(warning_about(alone, "parallel.sequence"), "no influence"));
}

TEST(Resolve, Tf32IsForProductsOnAGpu) {
  const Deck gpu = load_text(small_deck(), {"tf32.enabled=true", "run.device=cuda"});
  EXPECT_TRUE(gpu.precision.tf32);
  EXPECT_EQ(gpu.precision.compute, DType::f32);
  EXPECT_EQ(warning_about(gpu, "tf32.enabled"), "");
  const Deck cpu = load_text(small_deck(), {"tf32.enabled=true"});
  EXPECT_TRUE(contains(warning_about(cpu, "tf32.enabled"), "no influence"));
  EXPECT_FALSE(load_text(small_deck(), {"run.device=cuda"}).precision.tf32);
}

TEST(Resolve, ShortWarmUpsCountAsTwo) {
  const Deck deck = load_text(
      small_deck(R"("scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 0}},)"));
  EXPECT_EQ(deck.scheduler.warmup_num_steps, 2);
  EXPECT_TRUE(contains(warning_about(deck, "scheduler.params.warmup_num_steps"), "counts as 2"));
}

TEST(Resolve, InterleavedNeedsChunksStagesAndWholeGroups) {
  const std::vector<std::string> good = {"parallel.schedule=interleaved",
                                         "parallel.virtual_stages=2", "parallel.pipeline=2",
                                         "gradient_accumulation_steps=4"};
  EXPECT_EQ(load_text(small_deck(), good, 2).parallel.virtual_stages, 2);
  auto bad = good;
  bad[1] = "parallel.virtual_stages=1";
  EXPECT_TRUE(contains(refusal(small_deck(), bad, 2), "needs parallel.virtual_stages >= 2"));
  bad = good;
  bad[0] = "parallel.schedule=1f1b";
  EXPECT_TRUE(contains(refusal(small_deck(), bad, 2), "needs parallel.schedule \"interleaved\""));
  bad = good;
  bad[3] = "gradient_accumulation_steps=1";
  EXPECT_TRUE(contains(refusal(small_deck(), bad, 2), "deals micro-batches in groups"));
}

TEST(Resolve, SchedulesFollowTheRunsLength) {
  const std::string text = small_deck(
      R"("optimizer": {"type": "adamw", "params": {"lr": 2e-3}},
         "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_num_steps": "auto"}},)");
  const SchedulerConfig s = load_text(text).scheduler;
  EXPECT_EQ(s.type, SchedulerType::warmup_decay);
  EXPECT_EQ(s.total_num_steps, 100);
  EXPECT_EQ(s.warmup_num_steps, 5);
  EXPECT_EQ(s.warmup_max_lr, 2e-3);
  EXPECT_EQ(load_text(text, {"run.max_steps=1000"}).scheduler.total_num_steps, 1000);
  EXPECT_EQ(load_text(text, {"scheduler.params.total_num_steps=7"}).scheduler.total_num_steps, 7);
}

TEST(Resolve, LengthInTokensRoundsUpToSteps) {
  EXPECT_EQ(load_text(small_deck(), {"run.max_steps=auto", "run.max_tokens=1000"}).run.max_steps,
            4);  // 1000 / (8 x 32)
  EXPECT_EQ(load_text(small_deck(), {"run.max_tokens=1000"}).run.max_steps, 4);
  EXPECT_EQ(load_text(small_deck(), {"run.max_tokens=100000000"}).run.max_steps, 100);
}

TEST(Resolve, AdamMeansAdamWUnlessToldOtherwise) {
  const auto type = [](const std::string& optimizer) {
    return load_text(small_deck("\"optimizer\": " + optimizer + ",")).optimizer.type;
  };
  EXPECT_EQ(type(R"({"type": "Adam"})"), OptimizerType::adamw);
  EXPECT_EQ(type(R"({"type": "ADAMW"})"), OptimizerType::adamw);
  EXPECT_EQ(type(R"({"type": "Adam", "params": {"adam_w_mode": false}})"), OptimizerType::adam);
  EXPECT_EQ(type(R"({"type": "lamb"})"), OptimizerType::lamb);
  EXPECT_EQ(type(R"({"type": "LION"})"), OptimizerType::lion);
  EXPECT_EQ(type(R"({"type": "sgd", "params": {"momentum": 0.9}})"), OptimizerType::sgd);
}

TEST(Resolve, LossScale) {
  const auto precision = [](const std::string& more) {
    return load_text(small_deck(more)).precision;
  };
  EXPECT_EQ(precision("").compute, DType::f32);
  EXPECT_FALSE(precision("").skip_nonfinite_gradients);
  const auto dynamic = precision(R"("fp16": {"enabled": true, "initial_scale_power": 12},)");
  EXPECT_EQ(dynamic.compute, DType::f16);
  EXPECT_TRUE(dynamic.loss_scale.dynamic);
  EXPECT_EQ(dynamic.loss_scale.initial, 4096);
  EXPECT_TRUE(dynamic.skip_nonfinite_gradients);
  const auto fixed = precision(R"("fp16": {"enabled": true, "loss_scale": 128},)");
  EXPECT_FALSE(fixed.loss_scale.dynamic);
  EXPECT_EQ(fixed.loss_scale.initial, 128);
  const auto bf16 = precision(R"("bfloat16": {"enabled": true, "check_grad_overflow": false},)");
  EXPECT_EQ(bf16.compute, DType::bf16);
  EXPECT_EQ(bf16.loss_scale.initial, 1);
  EXPECT_FALSE(bf16.skip_nonfinite_gradients);
}

TEST(Resolve, DataWeightsAndPaths) {
  const Deck deck = load_text(small_deck(), {R"(data.tokens=["a.h5", "../b.h5", "/c.h5"])",
                                             "data.weights=[1, 2, 1]", "checkpoint.path=out"});
  ASSERT_EQ(deck.data.sources.size(), 3u);
  EXPECT_EQ(deck.data.sources[0].path, "/decks/a.h5");
  EXPECT_EQ(deck.data.sources[1].path, "/b.h5");
  EXPECT_EQ(deck.data.sources[2].path, "/c.h5");
  EXPECT_EQ(deck.data.sources[1].weight, 0.5);
  EXPECT_EQ(deck.checkpoint.path, "/decks/out");
  EXPECT_EQ(deck.data.seed, 1234u);
  EXPECT_TRUE(contains(refusal(small_deck(), {"data.weights=[1,2]"}), "one weight a file"));
}

TEST(Resolve, OwnValidationFilesReplaceTheSplit) {
  EXPECT_EQ(load_text(small_deck()).data.validation_fraction, 0.01);
  const Deck deck = load_text(small_deck(), {"data.validation_tokens=v.h5"});
  EXPECT_EQ(deck.data.validation_fraction, 0);
  EXPECT_EQ(deck.data.validation_tokens.at(0), "/decks/v.h5");
  const Deck none = load_text(small_deck(), {"data.validation_fraction=0", "run.eval_every=5"});
  EXPECT_TRUE(contains(warning_about(none, "run.eval_every"), "no influence"));
}

TEST(Resolve, RecomputeHasTwoNames) {
  EXPECT_TRUE(load_text(small_deck(R"("pipeline": {"activation_checkpoint_interval": 1},)"))
                  .activation_checkpointing.enabled);
  const Deck silent = load_text(small_deck(R"("activation_checkpointing": {"profile": false},)"));
  EXPECT_FALSE(silent.activation_checkpointing.enabled);
  EXPECT_TRUE(
      contains(warning_about(silent, "activation_checkpointing.enabled"), "nothing is recomputed"));
  EXPECT_TRUE(contains(refusal(small_deck(R"("pipeline": {"activation_checkpoint_interval": 2},)")),
                       "nearest: 1"));
}

TEST(Resolve, OverridesReplaceAndClear) {
  const std::string text =
      small_deck(R"("optimizer": {"type": "SGD", "params": {"momentum": 0.5}},)");
  EXPECT_EQ(load_text(text).optimizer.momentum, 0.5);
  EXPECT_EQ(load_text(text, {"optimizer.params.momentum=0.7"}).optimizer.momentum, 0.7);
  EXPECT_EQ(load_text(text, {"optimizer=null"}).optimizer.type, OptimizerType::adamw);
  EXPECT_EQ(load_text(text, {R"(run={"max_steps": 3, "seed": 9})"}).run.seed, 9u);
}

TEST(Resolve, DecksOfTheRepositoryLoad) {
  const std::filesystem::path root = trireme::kSourceDir;
  for (const auto& file : std::filesystem::recursive_directory_iterator(root / "inputs")) {
    const auto folder = file.path().parent_path().filename();
    if (file.path().extension() != ".json" || folder == "sweeps") continue;  // read by plan.sweep
    const Deck alone = load(file.path(), {}, std::nullopt);
    // Decks to train with take any number of data ranks, those of benchmarks have a grid of theirs.
    const bool any = folder == "pretrain";
    const std::int64_t ranks = any ? 8 : alone.parallel.ranks();
    EXPECT_EQ(load(file.path(), {}, ranks).parallel.ranks(), ranks) << file.path();
    EXPECT_TRUE(!any || alone.parallel.data == 1) << file.path();
  }
  const Deck tiny = load(root / "inputs/pretrain/dictionary_tiny.json", {"parallel.tensor=4"}, 8);
  EXPECT_EQ(tiny.parallel.data, 1);
  EXPECT_NEAR(static_cast<double>(parameter_count(tiny.model)), 5.0e6, 0.2e6);
}

}  // namespace
}  // namespace trireme::deck::testing
