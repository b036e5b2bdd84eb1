// What the engine does not run yet is refused, and by nothing but lib/deck/unbuilt.cpp; goes with
// that file.
#include "validation/unit/deck/try_deck.hpp"

#include <gtest/gtest.h>

namespace trireme::deck::testing {
namespace {

TEST(Unbuilt, IsRefusedByItsKeyAndByNothingElse) {
  struct Case {
    const char* more;
    const char* expected;
  };
  for (const Case& c :
       {Case{R"("zero_optimization": {"stage": 2},)",
             "deck.json:2: zero_optimization.stage: 2 is not done yet; nearest: 0"},
        Case{R"("zero_optimization": true,)",
             "deck.json:2: zero_optimization.stage: 1 is not done yet; nearest: 0"},
        Case{R"("zero_optimization": {"offload_optimizer": {"device": "cpu"}},)",
             "zero_optimization.offload_optimizer.device: \"cpu\" is not done yet"},
        Case{R"("zero_optimization": {"cpu_offload_param": true},)",
             "zero_optimization.offload_param.device: \"cpu\" is not done yet"},
        Case{R"("activation_checkpointing": {"enabled": true, "cpu_checkpointing": true},)",
             "activation_checkpointing.device: \"cpu\" is not done yet"},
        Case{R"("activation_checkpointing": {"enabled": true, "partition_activations": true},)",
             "activation_checkpointing.partition_activations: true is not done yet"}}) {
    const std::string text = small_deck(c.more);
    EXPECT_EQ(mistakes_of(text, {}, 2), "") << c.more;
    const std::string found = refusal(text, {}, 2);
    EXPECT_TRUE(found.starts_with("1 mistake in the deck")) << found;
    EXPECT_TRUE(contains(found, c.expected)) << found;
  }
  const std::vector<std::string> limit = {"run.device_memory=1 GiB"};
  EXPECT_EQ(mistakes_of(small_deck(), limit), "");
  EXPECT_TRUE(contains(refusal(small_deck(), limit),
                       "run.device_memory: 1073741824 is not done yet; nearest: 0"));
}

TEST(Unbuilt, WhatStageZeroDoesNotReadYetIsWarnedOf) {
  const std::string text = small_deck(R"("zero_optimization": {"overlap_comm": false},)");
  EXPECT_TRUE(contains(warning_about(load_text(text, {}, 2), "zero_optimization.overlap_comm"),
                       "no influence yet"));
  EXPECT_EQ(warning_about(resolve_text(text, {}, 2), "zero_optimization.overlap_comm"), "");
  EXPECT_EQ(load_text(small_deck(), {}, 2).warnings.size(), 0u);
}

}  // namespace
}  // namespace trireme::deck::testing
