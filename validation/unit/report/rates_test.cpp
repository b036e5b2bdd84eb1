// Rates from recorded times: those of a simulated machine are found again, and a prediction made
// with them is the simulation's.

#include "lib/engine/setup.hpp"
#include "lib/report/measured_rates.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/tiny_models.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace trireme::report {
namespace {

deck::Deck pipelined() {
  deck::Deck deck = validation::engine_deck(validation::tiny_llama());
  deck.parallel.pipeline = 2;
  deck.batch.accumulation = deck.batch.global = 4;
  return deck;
}

/// What ranks would have recorded on a machine with these rates.
RateSamples recorded(const program::Compiled& compiled, const program::Rates& rates,
                     double slower = 1) {
  const program::Simulation ran = program::simulate(compiled, rates);
  RateSamples all;
  for (std::size_t s = 0; s < compiled.stages.size(); ++s) {
    std::vector<engine::Interval> intervals;
    for (std::size_t i = 0; i < ran.start[s].size(); ++i)
      intervals.push_back({slower * ran.start[s][i], slower * ran.end[s][i]});
    all.add(rate_samples(compiled, compiled.stages[s].instructions, intervals));
  }
  return all;
}

TEST(MeasuredRates, AreTheMachinesOwn) {
  const engine::Setup setup(pipelined());
  program::Rates machine;
  machine.flops_per_second = 3e9;
  machine.memory_bytes_per_second = 1e12;  // no segment is bound by it
  machine.link_bytes_per_second = 2e8;
  machine.link_latency = 1e-9;
  machine.storage_bytes_per_second = 7e8;
  const program::Rates found = measured_rates(recorded(setup.training, machine), {});
  EXPECT_NEAR(found.flops_per_second / machine.flops_per_second, 1, 0.01);
  EXPECT_NEAR(found.memory_bytes_per_second / machine.memory_bytes_per_second, 1, 0.01);
  EXPECT_NEAR(found.storage_bytes_per_second / machine.storage_bytes_per_second, 1, 0.01);
  EXPECT_NEAR(found.link_bytes_per_second / machine.link_bytes_per_second, 1, 0.01);
  const double bubble = program::simulate(setup.training, machine).bubble;
  EXPECT_NEAR(program::simulate(setup.training, found).bubble, bubble, 0.02);
  EXPECT_GT(std::abs(program::simulate(setup.training).bubble - bubble), 0.05);  // unmeasured rates

  const program::Rates halved = measured_rates(recorded(setup.training, machine, 2), {});
  EXPECT_NEAR(halved.flops_per_second / found.flops_per_second, 0.5, 1e-9);  // the fault shows
}

TEST(MeasuredRates, TiersHaveTheirOwn) {
  deck::Deck deck = pipelined();
  deck.parallel.zero.offload_optimizer.tier = deck::Tier::nvme;
  deck.parallel.zero.offload_param.tier = deck::Tier::host;
  deck.parallel.zero.param_persistence_threshold = 0;
  const engine::Setup setup(deck);
  program::Rates machine;
  machine.storage_bytes_per_second = 3e8;
  machine.host_bytes_per_second = 4e9;
  const program::Rates found = measured_rates(recorded(setup.training, machine), {});
  EXPECT_NEAR(found.storage_bytes_per_second / machine.storage_bytes_per_second, 1, 0.01);
  EXPECT_NEAR(found.host_bytes_per_second / machine.host_bytes_per_second, 1, 0.01);
}

TEST(MeasuredRates, WhatWasNotSeenKeepsItsRate) {
  program::Rates otherwise;
  otherwise.link_latency = 0.125;
  const program::Rates found = measured_rates({}, otherwise);
  EXPECT_EQ(found.link_latency, 0.125);
  EXPECT_EQ(found.flops_per_second, otherwise.flops_per_second);
}

}  // namespace
}  // namespace trireme::report
