// A plan that exceeds a tier is refused before the run, with the nearest deck that fits.

#include "lib/engine/fit.hpp"
#include "lib/engine/setup.hpp"
#include "lib/program/print.hpp"
#include "validation/unit/deck/try_deck.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace trireme::engine {
namespace {

using deck::Tier;

struct Start {
  std::string more;  ///< first keys of the deck
  std::int64_t ranks = 1;
};

const std::vector<Start> kStarts{
    {R"("bf16": {"enabled": true},)", 1},
    {R"("parallel": {"data": 4}, "train_micro_batch_size_per_gpu": 2,)", 4},
    {R"("parallel": {"data": 2, "tensor": 2, "pipeline": 2}, "bf16": {"enabled": true},
        "train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": 1,
        "offload_optimizer": {"device": "none", "nvme_path": "/nvme"}},)",
     8}};

deck::Deck load(const Start& start, const std::vector<std::string>& sets) {
  return deck::testing::load_text(deck::testing::small_deck(start.more), sets, start.ranks);
}

std::vector<const program::Compiled*> programs_of(const engine::Setup& setup) {
  return {&setup.training, &setup.evaluation, &setup.refresh};
}

/// Most bytes that a rank needs in a tier.
std::int64_t need(const engine::Setup& setup, Tier tier) {
  std::int64_t most = 0;
  for (const program::Compiled* compiled : programs_of(setup))
    for (std::int32_t s = 0; s < setup.layout.stages; ++s)
      most = std::max(most, compiled->memory.at(s, tier));
  return most;
}

std::string refusal(const deck::Deck& deck) {
  try {
    const engine::Setup setup(deck);
  } catch (const Error& error) {
    return error.code() == Exit::kUsage ? error.text() : "another exit code: " + error.text();
  }
  return "";
}

std::string limit(std::int64_t bytes) { return fmt::format("run.device_memory={}", bytes); }

TEST(Fit, APlanMayFillItsTierToTheLastByte) {
  for (const Start& start : kStarts) {
    const std::int64_t bytes = need(engine::Setup(load(start, {})), Tier::device);
    EXPECT_EQ(refusal(load(start, {limit(bytes)})), "");
    EXPECT_NE(refusal(load(start, {limit(bytes - 1)})), "");
  }
}

/// Whether a change belongs to the one before it: two keys of one kind.
bool second_of_a_kind(const std::vector<std::string>& sets, std::size_t i) {
  return sets[i].starts_with("gradient_") || sets[i].starts_with("parallel.") ||
         (sets[i].starts_with("activation_checkpointing.") &&
          sets[i - 1].starts_with("activation_checkpointing."));
}

TEST(Fit, TheNearestDeckFitsAndNoFewerOfItsChangesDo) {
  int found = 0;
  for (const Start& start : kStarts) {
    const std::int64_t bytes = need(engine::Setup(load(start, {})), Tier::device);
    for (const double share : {0.97, 0.8, 0.6, 0.4, 0.3}) {
      const auto most = static_cast<std::int64_t>(share * static_cast<double>(bytes));
      SCOPED_TRACE(fmt::format("{} with {} of {} bytes", start.more, most, bytes));
      const deck::Deck deck = load(start, {limit(most)});
      const std::string text = refusal(deck);
      ASSERT_NE(text, "");
      const auto fit = nearest_fit(deck);
      if (!fit) {
        EXPECT_NE(text.find("no deck fits"), std::string::npos) << text;
        continue;
      }
      ++found;
      std::vector<std::string> sets{limit(most)};
      for (const std::string& set : fit->changes) {
        EXPECT_NE(text.find(" --set " + set), std::string::npos) << text;
        sets.push_back(set);
      }
      const engine::Setup setup(
          load(start, sets));  // the printed arguments on the deck as it was given
      EXPECT_LE(need(setup, Tier::device), most);
      EXPECT_EQ(setup.deck.batch.global, deck.batch.global);
      std::int64_t largest = 0;
      for (const auto& stage : fit->bytes) largest = std::max(largest, stage[0]);
      EXPECT_EQ(need(setup, Tier::device), largest);
      if (fit->changed < 2) continue;
      for (std::size_t i = 1; i < sets.size(); ++i) {
        if (second_of_a_kind(sets, i)) continue;
        std::vector<std::string> fewer;
        for (std::size_t j = 0; j < sets.size(); ++j)
          if (j != i && !(j == i + 1 && second_of_a_kind(sets, j))) fewer.push_back(sets[j]);
        EXPECT_NE(refusal(load(start, fewer)), "") << sets[i] << " was not needed";
      }
    }
  }
  EXPECT_GE(found, 8);
}

TEST(Fit, KeptActivationsLeaveTheDeviceWhereNothingElseCan) {
  // One sample a micro-batch, state whole on one rank and gone to the host already.
  const Start start{R"("train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": 3,
      "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}},
      "activation_checkpointing": {"enabled": true},)",
                    1};
  const std::int64_t whole = need(engine::Setup(load(start, {})), Tier::device);
  const deck::Deck deck = load(start, {limit(whole - 1)});
  const auto fit = nearest_fit(deck);
  ASSERT_TRUE(fit);
  EXPECT_EQ(fit->changes, std::vector<std::string>{"activation_checkpointing.device=cpu"});
}

TEST(Fit, SaysWhenNothingFits) {
  const std::string text = refusal(load(kStarts[0], {limit(4096)}));
  EXPECT_NE(text.find("no deck fits"), std::string::npos) << text;
  EXPECT_NE(text.find("device"), std::string::npos) << text;
  EXPECT_NE(text.find("4.0 KiB"), std::string::npos) << text;
  EXPECT_NE(text.find("weights"), std::string::npos) << text;
}

TEST(Fit, TheHostTierHasItsOwnLimit) {
  const Start& start = kStarts[2];
  const std::vector<std::string> cpu{"zero_optimization.offload_optimizer.device=cpu"};
  const std::int64_t bytes = need(engine::Setup(load(start, cpu)), Tier::host);
  ASSERT_GT(bytes, 0);
  std::vector<std::string> sets = cpu;
  sets.push_back(fmt::format("run.host_memory={}", bytes));
  EXPECT_EQ(refusal(load(start, sets)), "");
  sets.back() = fmt::format("run.host_memory={}", bytes - 1);
  const std::string text = refusal(load(start, sets));
  EXPECT_NE(text.find("  host  "), std::string::npos) << text;
}

TEST(Fit, OnAGpuTheWorkspaceOfKernelsCounts) {
  for (const Start& start : kStarts) {
    const std::vector<std::string> cuda{"run.device=cuda"};
    const engine::Setup setup(load(start, cuda));
    std::int64_t most = 0;
    for (std::int32_t s = 0; s < setup.layout.stages; ++s)
      for (const program::BufferId id : setup.resident.workspace(s))
        most = std::max(most, setup.resident.at(id).bytes);
    ASSERT_GT(most, 0);
    const std::string shown = check_text(setup, -1, default_rates(setup.deck));
    for (const std::string& part :
         {"kernel workspace " + program::size_text(most), std::string("not counted on the device")})
      EXPECT_NE(shown.find(part), std::string::npos) << shown;
    const std::int64_t bytes = need(setup, Tier::device);
    const auto limited = [&](std::int64_t least) { return load(start, {cuda[0], limit(least)}); };
    EXPECT_EQ(refusal(limited(bytes)), "");
    // All but the workspace fits.
    const std::string text = refusal(limited(bytes - most));
    EXPECT_NE(text.find("kernel workspace " + program::size_text(most)), std::string::npos) << text;
    EXPECT_FALSE(nearest_fit(limited(most)));
    const deck::Deck tight = limited(bytes - 1);
    const auto fit = nearest_fit(tight);
    ASSERT_TRUE(fit);
    std::vector<std::string> sets{cuda[0], limit(bytes - 1)};
    sets.insert(sets.end(), fit->changes.begin(), fit->changes.end());
    const engine::Setup smaller(load(start, sets));
    EXPECT_GT(need(smaller, Tier::device), most);
    EXPECT_LT(need(smaller, Tier::device), bytes);
  }
  // Without a GPU kernels have the stack and heap of the process.
  const engine::Setup host(load(kStarts[0], {}));
  EXPECT_TRUE(host.resident.workspace(0).empty());
}

TEST(Fit, AByteTooManyOnOneStageIsFoundThere) {
  const Start& start = kStarts[2];
  const engine::Setup setup(load(start, {}));
  program::Compiled grown = setup.training;
  const std::int64_t most = need(setup, Tier::device);
  const Limits limits{most, 0, 0};
  EXPECT_TRUE(excesses(limits, programs_of(setup)).empty());
  grown.memory.bytes[1][static_cast<std::size_t>(Tier::device)] = most + 1;  // the planted fault
  const auto found = excesses(limits, {&setup.evaluation, &grown, &setup.refresh});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].stage, 1);
  EXPECT_EQ(found[0].tier, Tier::device);
  EXPECT_EQ(found[0].planned, most + 1);
  EXPECT_EQ(found[0].program, &grown);
}

}  // namespace
}  // namespace trireme::engine
