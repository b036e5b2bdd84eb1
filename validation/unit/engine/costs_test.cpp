// What --check says that a step sends is what the communicators count.

#include "lib/program/costs.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/cases.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

using Bytes = std::map<std::pair<std::string, std::string>, double>;  // by group and operation

std::string operation_name(program::Kind kind) {
  std::string name(program::name_of(kind));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// Of all ranks, by the programs alone.
Bytes planned(const engine::Setup& setup) {
  const auto groups = program::group_sizes(setup.model, setup.layout, setup.options);
  const auto ranks = static_cast<double>(groups.tensor * groups.data);  // of a stage
  Bytes bytes;
  for (std::int32_t s = 0; s < setup.layout.stages; ++s)
    for (const auto& row : program::communication_of(setup.model, setup.training, groups, s)) {
      const std::string group(row.group == program::Group::none ? "pipeline"
                                                                : program::name_of(row.group));
      if (row.payload > 0) bytes[{group, operation_name(row.kind)}] += ranks * row.payload;
    }
  return bytes;
}

/// Of all ranks, as sent since the counters were at zero.
Bytes counted(const EngineRun& run) {
  Bytes bytes;
  for (int g = 0; g < comm::kGroupKinds; ++g)
    for (int o = 0; o < comm::kOperations; ++o) {
      const auto operation = static_cast<comm::Operation>(o);
      const auto kind = static_cast<comm::GroupKind>(g);
      auto sum = static_cast<double>(run.communicators()[kind].traffic()[operation].payload_bytes);
      MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
      if (sum > 0 && operation != comm::Operation::receive)
        bytes[{std::string(comm::name_of(kind)), std::string(comm::name_of(operation))}] = sum;
    }
  return bytes;
}

void reset(const EngineRun& run) {
  for (int g = 0; g < comm::kGroupKinds; ++g)
    run.communicators()[static_cast<comm::GroupKind>(g)].reset_traffic();
}

bool same(const Bytes& a, const Bytes& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && std::abs(x.second - y.second) <= 1e-6 * x.second;
  });
}

std::string text(const Bytes& bytes) {
  std::string made;
  for (const auto& [key, value] : bytes)
    made += fmt::format("{} {}: {}\n", key.first, key.second, value);
  return made;
}

TEST(Costs, PayloadPlannedIsPayloadSent) {
  const comm::World world;
  int stage = 0;
  for (GridCase c : random_cases(world.size(), 8, 31)) {
    deck::ZeroConfig& zero = c.deck.parallel.zero;
    zero.stage = stage++ % 4;
    zero.reduce_per = zero.stage >= 2 ? deck::Per::micro_batch : deck::Per::step;
    zero.param_persistence_threshold = 64;
    SCOPED_TRACE(fmt::format("{} with ZeRO stage {}", c.name, zero.stage));
    EngineRun run(world, c.deck);
    reset(run);
    run.step();
    const Bytes sent = counted(run);
    EXPECT_TRUE(same(planned(run.setup()), sent)) << "planned\n"
                                                  << text(planned(run.setup())) << "sent\n"
                                                  << text(sent);
  }
}

TEST(Costs, AnOperationSentTwiceIsSeen) {
  const comm::World world;
  if (world.size() == 1) return;  // nothing is sent
  deck::Deck deck = engine_deck(tiny_llama());
  deck.parallel.data = world.size();
  deck.batch.global = world.size() * deck.batch.micro * deck.batch.accumulation;
  EngineFaults faults;
  faults.program = [](program::Compiled& compiled) {
    auto& list = compiled.stages[0].instructions;
    const auto sum = std::find_if(list.begin(), list.end(), [](const program::Instruction& i) {
      return i.kind == program::Kind::all_reduce && i.group == program::Group::data;
    });
    sum->bytes /= 2;
    sum->elements.end -= sum->elements.size() / 2;
  };
  EngineRun run(world, deck, faults);
  reset(run);
  run.step();
  EXPECT_FALSE(same(planned(engine::Setup(deck)), counted(run)));
}

TEST(Costs, ExposedTimeIsPartOfBusyTimeAndFallsWithFasterLinks) {
  const comm::World world;
  for (const GridCase& c : random_cases(world.size(), 8, 41)) {
    SCOPED_TRACE(c.name);
    const engine::Setup setup(c.deck);
    program::Rates rates;
    rates.link_latency = 0;
    double last = 1e300;
    for (const double link : {1e7, 1e9, 1e30}) {
      rates.link_bytes_per_second = link;
      const program::Simulation walk = program::simulate(setup.training, rates);
      double exposed = 0;
      for (std::int32_t s = 0; s < setup.layout.stages; ++s) {
        const auto times = program::lane_times(setup.training, walk, rates, s);
        double compute = 0;
        for (const auto& i : setup.training.stages[static_cast<std::size_t>(s)].instructions)
          if (i.lane == program::Lane::compute)
            compute += program::seconds_of(setup.training, i, rates);
        EXPECT_NEAR(times[0].busy, compute, 1e-9 * compute);
        for (const program::LaneTime& time : times) {
          EXPECT_LE(time.exposed, time.busy);
          EXPECT_LE(time.busy, walk.seconds * (1 + 1e-9));
        }
        exposed += times[1].exposed;
      }
      EXPECT_LE(exposed, last);
      last = exposed;
    }
    EXPECT_LT(last, 1e-15);
  }
}

}  // namespace
}  // namespace trireme::validation
