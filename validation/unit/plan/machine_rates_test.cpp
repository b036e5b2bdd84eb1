// --check --machine: a rank's share of its node's rates, what the machine does not state is said to
// be the default, and the simulated step follows the rates.

#include "lib/plan/machine_rates.hpp"
#include "validation/unit/plan/refusal.hpp"

#include <gtest/gtest.h>

#include <string>

namespace trireme::validation {
namespace {

constexpr char kDeck[] = R"({
  "model": {"family": "gpt", "vocabulary": 64, "context": 8, "layers": 2, "hidden": 64, "heads": 2},
  "data": {"tokens": "none.h5"}, "train_batch_size": 24, "train_micro_batch_size_per_gpu": 1,
  "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}, "run": {"max_steps": 2},
  "parallel": {"tensor": 2}
})";

plan::Machine machine() {
  plan::Machine machine;
  machine.name = "test";
  machine.nodes = 3;
  machine.ranks_per_node = 4;
  machine.node.flops_fp32 = 4e12;
  machine.node.flops_16bit = 16e12;
  machine.bandwidth = {.memory = 120e9, .network = 20e9, .nvme_read = 6e9, .nvme_write = 3e9};
  return machine;
}

deck::Deck deck_on(std::int64_t ranks, const std::vector<std::string>& overrides = {}) {
  return deck::load(deck::Source{kDeck, "/nowhere/deck.json"}, overrides, ranks);
}

TEST(MachineRatesTest, ARankHasItsShareOfTheNode) {
  const engine::Setup alone(deck_on(2));
  const auto two = plan::rates_on(machine(), alone);
  EXPECT_DOUBLE_EQ(two.flops.value, 2e12);
  EXPECT_DOUBLE_EQ(two.memory.value, 60e9);
  EXPECT_DOUBLE_EQ(two.host.value, 30e9);
  EXPECT_DOUBLE_EQ(two.link.value, 20e9);    // through memory
  EXPECT_DOUBLE_EQ(two.storage.value, 2e9);  // 4 GB/s of the node
  const engine::Setup twelve(deck_on(12));
  const auto many = plan::rates_on(machine(), twelve);
  EXPECT_DOUBLE_EQ(many.flops.value, 1e12);
  EXPECT_DOUBLE_EQ(many.link.value, 5e9);  // of the network
  EXPECT_EQ(many.link.source, "machine test");
  EXPECT_EQ(many.latency.source, "default");
}

TEST(MachineRatesTest, ProductsAreThoseOfTheDecksType) {
  const engine::Setup narrow(deck_on(2, {"bf16.enabled=true"}));
  EXPECT_DOUBLE_EQ(plan::rates_on(machine(), narrow).flops.value, 8e12);
  plan::Machine wide = machine();
  wide.node.flops_16bit = 0;
  EXPECT_DOUBLE_EQ(plan::rates_on(wide, narrow).flops.value, 2e12);
  const engine::Setup stated(deck_on(2, {"report.peak_flops=5e11"}));
  EXPECT_DOUBLE_EQ(plan::rates_on(machine(), stated).flops.value, 5e11);
  EXPECT_EQ(plan::rates_on(machine(), stated).flops.source, "report.peak_flops");
}

TEST(MachineRatesTest, WhatIsNotStatedIsTheDefaultAndSaysSo) {
  const engine::Setup setup(deck_on(4));
  plan::Machine silent = machine();
  silent.bandwidth = {};
  silent.node.flops_fp32 = 0;
  const auto rates = plan::rates_on(silent, setup);
  const auto otherwise = engine::default_rates(setup.deck);
  EXPECT_EQ(rates.memory.value, otherwise.memory.value);
  for (const engine::CheckRate& rate : {rates.flops, rates.memory, rates.link, rates.storage})
    EXPECT_EQ(rate.source, "default");
  const std::string text = engine::check_text(setup, -1, plan::rates_on(machine(), setup));
  EXPECT_TRUE(contains(text, "machine test, of a rank: products")) << text;
  EXPECT_TRUE(contains(text, "default, of a rank: a message")) << text;
}

/// The simulated seconds of a step, as the text has them.
double step_seconds(const engine::Setup& setup, const engine::CheckRates& rates) {
  const std::string text = engine::check_text(setup, -1, rates);
  const std::string mark = "simulated step ";
  return std::stod(text.substr(text.find(mark) + mark.size()));
}

TEST(MachineRatesTest, ASlowerMachineTakesLonger) {
  const engine::Setup setup(deck_on(4));
  plan::Machine slow = machine();
  slow.node.flops_fp32 /= 1000;
  slow.bandwidth.memory /= 1000;
  const double fast_step = step_seconds(setup, plan::rates_on(machine(), setup));
  EXPECT_GT(step_seconds(setup, plan::rates_on(slow, setup)), 5 * fast_step);
}

TEST(MachineRatesTest, AGridLargerThanTheMachineIsRefused) {
  const engine::Setup setup(deck_on(24));
  const std::string no = refusal([&] { plan::rates_on(machine(), setup); });
  EXPECT_TRUE(contains(no, "24 ranks are 6 nodes of the machine test with 4 ranks each")) << no;
  EXPECT_TRUE(contains(no, "it has 3 nodes")) << no;
}

}  // namespace
}  // namespace trireme::validation
