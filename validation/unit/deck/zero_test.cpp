// Rules between the keys of ZeRO and offload: what stage and tier imply, old names, folders,
// mistakes with their lines.
#include "validation/unit/deck/try_deck.hpp"

#include <gtest/gtest.h>

namespace trireme::deck::testing {
namespace {

using Overrides = std::vector<std::string>;

std::string zero(const std::string& keys) { return "\"zero_optimization\": {" + keys + "},"; }

ZeroConfig zero_of(const std::string& more, const Overrides& overrides = {},
                   std::int64_t ranks = 4) {
  return resolve_text(small_deck(more), overrides, ranks).parallel.zero;
}

TEST(Zero, ReducePerFollowsTheStage) {
  for (int stage = 0; stage <= 3; ++stage) {
    const Overrides at = {"zero_optimization.stage=" + std::to_string(stage)};
    const Per expected = stage >= 2 ? Per::micro_batch : Per::step;
    EXPECT_EQ(zero_of("", at).reduce_per, expected) << stage;
    EXPECT_EQ(zero_of(R"("parallel": {"zero": {"reduce_per": "step"}},)", at).reduce_per,
              Per::step);
  }
  const std::string per = R"("parallel": {"zero": {
   "reduce_per": "micro_batch"}},)";
  EXPECT_EQ(zero_of(per, {"zero_optimization.stage=2"}).reduce_per, Per::micro_batch);
  for (const char* stage : {"0", "1"}) {
    const std::string text =
        mistakes_of(small_deck(per), {std::string("zero_optimization.stage=") + stage}, 4);
    EXPECT_TRUE(contains(text, "needs stage 2 or 3")) << text;
    EXPECT_TRUE(contains(text, "nearest: \"step\", or zero_optimization.stage 2")) << text;
  }
  EXPECT_TRUE(contains(mistakes_of(small_deck(per)), "deck.json:3: parallel.zero.reduce_per"));
}

TEST(Zero, SummingPerStepIsTheSameWithOneMicroBatch) {
  const Overrides once = {"zero_optimization.stage=2", "parallel.zero.reduce_per=step"};
  EXPECT_EQ(warning_about(
                resolve_text(small_deck(), {once[0], once[1], "gradient_accumulation_steps=2"}, 4),
                "parallel.zero.reduce_per"),
            "");
  EXPECT_TRUE(
      contains(warning_about(resolve_text(small_deck(), once, 4), "parallel.zero.reduce_per"),
               "gradient_accumulation_steps is 1"));
}

TEST(Zero, CommunicationOverlapsAtEveryStageUnlessSwitchedOff) {
  for (const char* stage : {"0", "1", "2", "3"}) {
    const Overrides at = {std::string("zero_optimization.stage=") + stage};
    EXPECT_TRUE(zero_of("", at).overlap_comm);
    EXPECT_TRUE(zero_of(zero("\"overlap_comm\": null"), at).overlap_comm);
    EXPECT_TRUE(zero_of(zero("\"overlap_comm\": true"), at).overlap_comm);
    EXPECT_FALSE(zero_of(zero("\"overlap_comm\": false"), at).overlap_comm);
  }
}

TEST(Zero, PartitionHasTwoNames) {
  EXPECT_FALSE(zero_of(zero("\"stage\": 2")).cyclic);
  EXPECT_TRUE(zero_of(zero("\"stage\": 2, \"round_robin_gradients\": true")).cyclic);
  const std::string both = zero("\"stage\": 2,\n\"round_robin_gradients\": true");
  EXPECT_TRUE(zero_of(both, {"parallel.zero.partition=cyclic"}).cyclic);
  EXPECT_TRUE(contains(
      mistakes_of(small_deck(both + R"("parallel": {"zero": {"partition": "range"}},)"), {}, 4),
      "deck.json:3: zero_optimization.round_robin_gradients true means parallel.zero.partition "
      "\"cyclic\", which is \"range\"; keep one"));
}

TEST(Zero, GroupsDivideTheDataAxis) {
  const std::string stage = "\"stage\": 3,\n\"mics_shard_size\": ";
  EXPECT_EQ(zero_of(zero(stage + "-1")).shard_ranks, 0);
  EXPECT_EQ(zero_of(zero(stage + "2")).shard_ranks, 2);
  EXPECT_EQ(zero_of(zero(stage + "4")).shard_ranks, 4);
  EXPECT_TRUE(contains(mistakes_of(small_deck(zero(stage + "3")), {}, 4),
                       "deck.json:3: zero_optimization.mics_shard_size 3 does not divide "
                       "parallel.data 4; nearest: 2"));
  EXPECT_TRUE(contains(mistakes_of(small_deck(zero(stage + "8")), {}, 4), "nearest: 4"));
  EXPECT_TRUE(contains(mistakes_of(small_deck(zero(stage + "-2")), {}, 4), "an integer >= -1"));
  EXPECT_TRUE(contains(
      warning_about(resolve_text(small_deck(zero(stage + "1")), {}, 4), "zero_optimization.stage"),
      "mics_shard_size is 1"));
}

TEST(Zero, UpdatesBeforeTheNormTakeNoClippingAndNoSkippedSteps) {
  const std::string early = R"("parallel": {"zero": {"update_per": "unit"}},)";
  EXPECT_TRUE(contains(mistakes_of(small_deck(early)),
                       "parallel.zero.update_per \"unit\" updates before the norm is known that "
                       "gradient_clipping compares; nearest: gradient_clipping 0, or "
                       "parallel.zero.update_per \"step\""));
  const Overrides free = {"gradient_clipping=0"};
  EXPECT_EQ(zero_of(early, free).update_per, UpdatePer::unit);
  EXPECT_TRUE(
      contains(mistakes_of(small_deck(early + R"("fp16": {"enabled": true},)"), free), "skip"));
  const std::string bf16 = early + R"("bf16": {"enabled": true},)";
  EXPECT_TRUE(
      contains(mistakes_of(small_deck(bf16), free), "nearest: bf16.check_grad_overflow false"));
  EXPECT_EQ(mistakes_of(small_deck(bf16), {free[0], "bf16.check_grad_overflow=false"}), "");
}

TEST(Zero, OneReplicaHasNothingToDivide) {
  const Deck alone = resolve_text(small_deck(zero("\n\"stage\": 3")));
  ASSERT_EQ(alone.warnings.size(), 1u);
  EXPECT_EQ(alone.warnings[0].key, "zero_optimization.stage");
  EXPECT_EQ(alone.warnings[0].line, 3);
  EXPECT_TRUE(contains(alone.warnings[0].text, "no influence: parallel.data is 1"));
  // With an offload tier the stage still says that gradients leave.
  const std::string text = warning_about(
      resolve_text(small_deck(zero(R"("stage": 2, "offload_optimizer": {"device": "cpu"})"))),
      "zero_optimization.stage");
  EXPECT_FALSE(contains(text, "no influence")) << text;
  EXPECT_TRUE(contains(text, "gradients go to the offload tier")) << text;
  EXPECT_EQ(warning_about(resolve_text(small_deck(zero("\"stage\": 3")), {}, 2),
                          "zero_optimization.stage"),
            "");
}

TEST(Zero, WarningsSayWhyAndWhere) {
  const Deck deck = resolve_text(small_deck(zero("\"stage\": 1,\n\"stage3_max_live_parameters\": "
                                                 "5,\n\"offload_optimizer\": {\"ratio\": 0.5}") +
                                            "\n\"aio\": {\"queue_depth\": 3},"),
                                 {}, 4);
  const auto has = [&](int line, const std::string& text) {
    for (const Warning& warning : deck.warnings)
      if (warning.line == line && warning.text == text) return true;
    return false;
  };
  EXPECT_TRUE(has(3,
                  "zero_optimization.stage3_max_live_parameters: 5 has no influence: stage 1 has "
                  "no gathered parameters"));
  EXPECT_TRUE(has(4,
                  "zero_optimization.offload_optimizer.ratio: 0.5 has no influence: "
                  "offload_optimizer.device is \"none\""));
  EXPECT_TRUE(has(5, "aio.queue_depth: 3 has no influence: nothing is on NVMe"));
}

TEST(Zero, WarningsOfOverridesHaveNoLine) {
  const Deck deck = resolve_text(small_deck(), {"aio.thread_count=2", "prescale_gradients=true"});
  EXPECT_EQ(deck.warnings.size(), 3u);  // an alias, an idle key and one that is idle here
  for (const Warning& warning : deck.warnings) EXPECT_EQ(warning.line, 0) << warning.text;
}

TEST(Zero, DefaultsWrittenOutAreNoWarnings) {
  const Deck deck = resolve_text(
      small_deck(zero(R"("stage": 0, "stage3_max_live_parameters": 1e9, "sub_group_size": 1e9,
          "reduce_scatter": true, "overlap_comm": null, "contiguous_gradients": true,
          "mics_shard_size": -1, "round_robin_gradients": false,
          "offload_optimizer": {"device": "none", "buffer_count": 4, "pin_memory": true})") +
                 R"("aio": {"block_size": 1048576, "overlap_events": true},)"),
      {}, 4);
  EXPECT_TRUE(deck.warnings.empty()) << deck.warnings.front().text;
}

TEST(Zero, KeysThatNeverMatterSayWhy) {
  struct Case {
    const char* override_text;
    const char* why;
  };
  for (const Case& c : {Case{"zero_optimization.stage3_gather_16bit_weights_on_model_save=true",
                             "ranks write their slices"},
                        Case{"zero_optimization.contiguous_gradients=false", "one flat buffer"},
                        Case{"zero_optimization.offload_optimizer.pin_memory=false",
                             "every tier of a CPU rank is host memory"},
                        Case{"zero_optimization.cpu_offload_use_pin_memory=true",
                             "every tier of a CPU rank is host memory"},
                        Case{"gradient_predivide_factor=2.0", "fp32 sums of a loss already"},
                        Case{"prescale_gradients=true", "fp32 sums of a loss already"}}) {
    const std::string text = c.override_text;
    const Deck deck = resolve_text(small_deck(), {text, "zero_optimization.stage=3"}, 4);
    const std::string warning = warning_about(deck, text.substr(0, text.find('=')));
    EXPECT_TRUE(contains(warning, "no influence")) << text;
    EXPECT_TRUE(contains(warning, c.why)) << warning;
  }
}

TEST(Zero, WhatIsNotDoneNamesWhatToUse) {
  struct Case {
    const char* keys;
    const char* instead;
  };
  for (const Case& c :
       {Case{"\"zero_hpz_partition_size\": 8", "mics_shard_size"},
        Case{"\"zero_quantized_weights\": true", "bf16 or fp16"},
        Case{"\"zero_quantized_nontrainable_weights\": true", "bf16 or fp16"},
        Case{"\"zero_quantized_gradients\": true", "reduce_per step"},
        Case{"\"zeropp_loco_param\": {\"err_beta\": 0.8}", "fp32"},
        Case{R"("offload_optimizer": {"super_offload": true})", "device cpu"},
        Case{R"("zenflow": {"topk_ratio": 0.1})", "offload_optimizer.device cpu"}}) {
    const std::string text = refusal(small_deck(zero(std::string("\n") + c.keys)), {}, 4);
    EXPECT_TRUE(text.starts_with("1 mistake in the deck\n  deck.json:3: zero_optimization."))
        << text;
    EXPECT_TRUE(contains(text, "is not done yet; nearest: ")) << text;
    EXPECT_TRUE(contains(text, c.instead)) << text;
  }
  EXPECT_TRUE(contains(refusal(small_deck(R"("aio": {"use_gds": true},)"), {}, 4),
                       "deck.json:2: aio.use_gds: true is not done yet; nearest: false; libaio"));
}

TEST(Offload, OldNamesAreReadWithAWarning) {
  const Deck deck = resolve_text(
      small_deck(zero("\"stage\": 3,\n\"cpu_offload\": true,\n\"cpu_offload_param\": true")), {},
      4);
  EXPECT_EQ(deck.parallel.zero.offload_optimizer.tier, Tier::host);
  EXPECT_EQ(deck.parallel.zero.offload_param.tier, Tier::host);
  EXPECT_EQ(warning_about(deck, "zero_optimization.cpu_offload"),
            "zero_optimization.cpu_offload is an old name of "
            "zero_optimization.offload_optimizer.device \"cpu\"");
  EXPECT_TRUE(contains(warning_about(deck, "zero_optimization.cpu_offload_param"), "an old name"));
  EXPECT_EQ(zero_of(zero("\"cpu_offload\": false")).offload_optimizer.tier, Tier::device);
  EXPECT_TRUE(contains(mistakes_of(small_deck(zero(R"("cpu_offload": true,
 "offload_optimizer": {"device": "nvme", "nvme_path": "/a"})"))),
                       "deck.json:3: zero_optimization.cpu_offload true means"));
}

TEST(Offload, NvmeHasOneFolder) {
  const std::string optimizer = "zero_optimization.offload_optimizer.";
  const std::string param = "zero_optimization.offload_param.";
  const std::string nvme = "device=nvme";
  const auto folder = [](const Overrides& overrides) {
    return zero_of("", overrides).nvme_path.string();
  };
  EXPECT_EQ(folder({}), "");
  EXPECT_EQ(folder({optimizer + nvme, optimizer + "nvme_path=/a"}), "/a");
  EXPECT_EQ(folder({optimizer + nvme, param + "nvme_path=/a"}), "/a");
  EXPECT_EQ(folder({param + nvme, optimizer + "nvme_path=/a"}), "/a");
  EXPECT_EQ(folder({param + nvme, optimizer + nvme, param + "nvme_path=swap"}), "/decks/swap");
  EXPECT_EQ(folder({param + nvme, optimizer + nvme, param + "nvme_path=/a",
                    optimizer + "nvme_path=/b/../a"}),
            "/a");
  EXPECT_EQ(folder({optimizer + "device=cpu", optimizer + "nvme_path=/a"}), "");
  const auto mistake = [](const Overrides& overrides) {
    return mistakes_of(small_deck(), overrides, 4);
  };
  EXPECT_TRUE(contains(mistake({optimizer + nvme}),
                       "needs a folder on a local NVMe disk; give zero_optimization."
                       "offload_optimizer.nvme_path"));
  EXPECT_TRUE(contains(mistake({param + nvme}),
                       "needs a folder on a local NVMe disk; give zero_optimization."
                       "offload_param.nvme_path"));
  EXPECT_TRUE(contains(
      mistake({param + nvme, optimizer + nvme, param + "nvme_path=/a", optimizer + "nvme_path=/b"}),
      "a run has one folder for all that is on NVMe"));
}

TEST(Offload, MistakesOfOneValueHaveTheirLine) {
  const auto mistake = [](const std::string& more) { return mistakes_of(small_deck(more), {}, 4); };
  EXPECT_TRUE(contains(mistake(zero("\n\"stage\": 4")),
                       "deck.json:3: zero_optimization.stage: expected an integer >= 0 and <= 3"));
  EXPECT_TRUE(contains(mistake(zero("\n\"reduce_bucket_size\": 0")), "deck.json:3: "));
  EXPECT_TRUE(contains(mistake(zero("\"offload_param\": {\n\"device\": \"disk\"}")),
                       "deck.json:3: zero_optimization.offload_param.device: expected one of"));
  EXPECT_TRUE(
      contains(mistake(zero("\"offload_optimizer\": {\n\"ratio\": 1.5}")), "deck.json:3: "));
  EXPECT_TRUE(contains(mistake(R"("aio": {"block_size": 10000},)"),
                       "deck.json:2: aio.block_size: 10000 is no multiple of 4096 (O_DIRECT); "
                       "nearest: 12288"));
  EXPECT_TRUE(contains(mistake(R"("parallel": {"zero": {"partition": "ring"}},)"),
                       R"(expected one of "range", "cyclic"; found "ring")"));
}

TEST(Offload, ActivationsHaveATier) {
  const auto recompute = [](const std::string& keys, const Overrides& overrides = {}) {
    return resolve_text(small_deck("\"activation_checkpointing\": {" + keys + "},"), overrides, 4);
  };
  const auto tier = [&](const std::string& keys, const Overrides& overrides = {}) {
    return recompute(keys, overrides).activation_checkpointing.tier;
  };
  EXPECT_EQ(tier(R"("enabled": true)"), Tier::device);
  EXPECT_EQ(tier(R"("enabled": true, "cpu_checkpointing": true)"), Tier::host);
  EXPECT_EQ(tier(R"("enabled": true, "device": "cpu")"), Tier::host);
  const Overrides path = {"zero_optimization.offload_param.nvme_path=/a"};
  const Deck nvme = recompute(R"("enabled": true, "device": "nvme")", path);
  EXPECT_EQ(nvme.activation_checkpointing.tier, Tier::nvme);
  EXPECT_EQ(nvme.parallel.zero.nvme_path, "/a");
  EXPECT_EQ(warning_about(nvme, "zero_optimization.offload_param.nvme_path"), "");
  // Without recomputation nothing waits.
  EXPECT_EQ(tier(R"("device": "nvme")"), Tier::device);
  EXPECT_TRUE(contains(mistakes_of(small_deck(
                           R"("activation_checkpointing": {"enabled": true, "device": "nvme"},)")),
                       "activation_checkpointing.device \"nvme\" needs a folder"));
  EXPECT_TRUE(contains(mistakes_of(small_deck(R"("activation_checkpointing": {
 "enabled": true, "cpu_checkpointing": true, "device": "nvme"},)")),
                       "cpu_checkpointing true means activation_checkpointing.device \"cpu\""));
}

TEST(Offload, TierSizesTakeUnits) {
  const auto bytes = [](const std::string& json) {
    return resolve_text(small_deck(), {"run.device_memory=" + json}).run.device_memory;
  };
  constexpr std::int64_t kGiB = std::int64_t{1} << 30;
  EXPECT_EQ(bytes("4294967296"), 4 * kGiB);
  EXPECT_EQ(bytes("4e9"), 4'000'000'000);
  EXPECT_EQ(bytes("\"4 GiB\""), 4 * kGiB);
  EXPECT_EQ(bytes("4GiB"), 4 * kGiB);
  EXPECT_EQ(bytes("\"1.5 gib\""), kGiB + kGiB / 2);
  EXPECT_EQ(bytes("\"2 MB\""), 2'000'000);
  EXPECT_EQ(bytes("\"512 KiB\""), 512 * 1024);
  EXPECT_EQ(bytes("\"1 TiB\""), 1024 * kGiB);
  EXPECT_EQ(bytes("\"77 B\""), 77);
  for (const char* bad : {"\"4 GiBB\"", "\"GiB\"", "\"-1 GiB\"", "-1", "\"\"", "\"1e300 TiB\"",
                          "\"nan\"", "\"auto\"", "1.5", "true"}) {
    const std::string text = mistakes_of(small_deck(), {std::string("run.host_memory=") + bad});
    EXPECT_TRUE(contains(text,
                         "run.host_memory: expected an integer >= 0, or a size such as "
                         "\"4 GiB\"; found"))
        << bad << ": " << text;
  }
}

}  // namespace
}  // namespace trireme::deck::testing
