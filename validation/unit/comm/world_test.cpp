// The session and the node-shared arena.

#include "lib/comm/world.hpp"
#include "kernels/base/error.hpp"
#include "lib/comm/arena.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

namespace trireme::comm {
namespace {

TEST(World, KnowsRanksAndNodes) {
  const World world;
  EXPECT_GE(world.rank(), 0);
  EXPECT_LT(world.rank(), world.size());
  EXPECT_LT(world.node_rank(), world.node_size());
  EXPECT_EQ(error_rank(), world.size() > 1 ? world.rank() : -1);
  world.barrier();
}

TEST(World, NodesCanBePretended) {
  const World world({.ranks_per_node = 2});
  EXPECT_LE(world.node_size(), 2);
  EXPECT_EQ(world.nodes(), (world.size() + 1) / 2);
  EXPECT_EQ(world.node(), world.rank() / 2);
  EXPECT_EQ(world.node_rank(), world.rank() % 2);
}

TEST(World, FailureOfAllRanksIsRecognised) {
  const World world;
  EXPECT_TRUE(world.all_failed("a mistake", "(expected in this test) a mistake of all ranks", 20));
}

TEST(World, FailureOfOneRankIsNotTakenForOneOfAll) {
  const World world;
  if (world.size() == 1) return;  // one rank is all ranks: covered above
  if (world.rank() == 1) {
    EXPECT_FALSE(world.all_failed("a mistake", "(expected in this test) a mistake of rank 1", 0.2));
  }
  world.barrier();
}

TEST(Arena, PeersSeeEachOthersBytes) {
  const World world;
  // Sizes differ, one is empty when there are several.
  const std::int64_t bytes = world.rank() == 1 ? 0 : 10000 + 4096 * world.rank();
  SharedArena arena(world, bytes);
  EXPECT_EQ(arena.bytes(), bytes);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.base()) % SharedArena::kAlignment, 0u);
  for (std::int64_t i = 0; i < bytes; ++i) ASSERT_EQ(arena.base()[i], std::byte{0});
  if (bytes > 0) arena.base()[bytes - 1] = std::byte(world.rank() + 1);
  world.barrier();
  for (int peer = 0; peer < world.node_size(); ++peer) {
    if (peer == 1) continue;
    EXPECT_EQ(*arena.at(peer, 10000 + 4096 * peer - 1), std::byte(peer + 1));
  }
  world.barrier();
}

TEST(Arena, KnowsWhatLiesInside) {
  const World world;
  SharedArena arena(world, 1000);
  std::byte elsewhere[8];
  EXPECT_EQ(arena.offset_of(arena.base() + 16, 8), 16);
  EXPECT_EQ(arena.offset_of(arena.base() + 992, 8), 992);
  EXPECT_EQ(arena.offset_of(arena.base() + 993, 8), -1);
  EXPECT_EQ(arena.offset_of(arena.base() - 1, 8), -1);
  EXPECT_EQ(arena.offset_of(elsewhere, 8), -1);
}

TEST(Arena, TooLittleSharedMemoryIsANamedErrorOnAllRanks) {
  const World world;
  constexpr std::int64_t kTooMuch = 1ll << 50;
  try {
    SharedArena arena(world, kTooMuch);
    ADD_FAILURE() << "a petabyte was found";
  } catch (const Error& error) {
    const std::int64_t needed = world.node_size() == 1
                                    ? kTooMuch
                                    : world.node_size() * (kTooMuch + SharedArena::kAlignment);
    EXPECT_NE(error.text().find(std::to_string(needed)), std::string::npos) << error.text();
    const bool shared = world.node_size() > 1;
    EXPECT_EQ(error.text().find("/dev/shm") != std::string::npos, shared) << error.text();
    EXPECT_EQ(error.code(), shared ? Exit::kFile : Exit::kUsage);
  }
}

TEST(Arena, ManyInARowLeaveNothingBehind) {
  const World world;
  for (int i = 0; i < 20; ++i) {
    SharedArena arena(world, 1 << 20);
    EXPECT_EQ(arena.base()[0], std::byte{0});
    arena.base()[0] = std::byte{1};
  }
}

}  // namespace
}  // namespace trireme::comm
