// What one stage and tier saved any other loads, bit for bit, on whatever grid.

#include "validation/unit/checkpoint/sample_state.hpp"
#include "validation/unit/io/test_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>

namespace trireme::validation {
namespace {

constexpr int kStages = 4;
constexpr std::array kTiers{deck::Tier::device, deck::Tier::host, deck::Tier::nvme};
constexpr int kHomes = kStages * static_cast<int>(kTiers.size());

/// Where state lives and how it is divided.
struct Home {
  comm::ProcessGrid grid;
  deck::ZeroConfig zero;
  std::string name;
};

/// Stage and tier number `home`; grid, partition, groups and ratio change with `turn`.
Home home_of(int home, int turn, int ranks, const std::string& nvme_path) {
  const std::vector<comm::ProcessGrid> grids = grids_of(ranks);
  Home made{grids[static_cast<std::size_t>(turn) % grids.size()], {}, ""};
  deck::ZeroConfig& zero = made.zero;
  zero.stage = home % kStages;
  const deck::Tier tier = kTiers[static_cast<std::size_t>(home / kStages)];
  zero.offload_optimizer.tier = tier;
  zero.offload_param.tier = turn % 5 == 0 ? deck::Tier::device : tier;
  zero.offload_param.max_in_cpu = turn % 2 == 0 ? 0 : 1000;
  zero.offload_optimizer.ratio = turn % 3 == 0 ? 0.5 : 1;
  zero.cyclic = turn % 2 == 1;
  if (turn % 4 == 2 && made.grid.data() % 2 == 0) zero.shard_ranks = made.grid.data() / 2;
  zero.nvme_path = nvme_path;
  zero.aio.checksum = turn % 3 == 1;
  constexpr std::array kNames{"device", "cpu", "nvme"};
  made.name = fmt::format("stage {} {}{}{}{} {}", zero.stage,
                          kNames[static_cast<std::size_t>(home / kStages)],
                          zero.cyclic ? " cyclic" : "", zero.shard_ranks > 0 ? " groups" : "",
                          zero.offload_optimizer.ratio < 1 ? " ratio" : "", made.grid.text());
  return made;
}

std::int64_t over_ranks(std::int64_t count) {
  MPI_Allreduce(MPI_IN_PLACE, &count, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
  return count;
}

/// A sixth of all pairs of homes: the two models (`half`) on 1, 2 and 4 ranks make all of them.
void expect_homes_load_homes(const deck::ModelConfig& config, int half) {
  const comm::World world;
  const test::TestFolder folder(true);
  const int sixth = half + 2 * (std::countr_zero(static_cast<unsigned>(world.size())) % 3);
  std::int64_t on_nvme = 0;
  for (int from = 0; from < kHomes; ++from) {
    const Home here = home_of(from, 5 * half + from, world.size(), folder / "");
    SampleState saved(world, config, here.grid, kMoments, here.zero);
    saved.fill();
    on_nvme += saved.store().bytes(program::Tier::nvme);
    const auto written = saved.save(folder / "checkpoints", from + 1);
    for (int to = (from + sixth) % 6; to < kHomes; to += 6) {
      const Home there = home_of(to, 5 * half + from + 7 * to, world.size(), folder / "");
      SampleState loaded(world, config, there.grid, kMoments, there.zero);
      loaded.clear();
      loaded.load(written.path);
      EXPECT_EQ(over_ranks(loaded.wrong()), 0) << here.name << " to " << there.name;
    }
  }
  EXPECT_GT(on_nvme, 0);
}

TEST(Tiers, UntiedModelMoves) { expect_homes_load_homes(tiny_llama(), 0); }
TEST(Tiers, TiedModelMoves) { expect_homes_load_homes(tiny_gpt(), 1); }

TEST(Tiers, PlantedSwapOfTwoElementsIsSeenOnEveryTier) {
  const comm::World world;
  const test::TestFolder folder(true);
  for (int home = 3; home < kHomes; home += kStages) {
    const Home here = home_of(home, 2, world.size(), folder / "");
    SampleState state(world, tiny_gpt(), here.grid, kMoments, here.zero);
    state.fill();
    EXPECT_EQ(state.wrong(), 0) << here.name;
    // Two neighbours of every run: both are wrong, unless they are padding.
    state.store().visit(state.store().units()[0], program::Purpose::masters, 0,
                        state::Store::Access::update, [](const state::Held& held) {
                          if (held.values.size() > 1) std::swap(held.values[0], held.values[1]);
                        });
    EXPECT_GT(over_ranks(state.wrong()), 0) << here.name;
  }
}

}  // namespace
}  // namespace trireme::validation
