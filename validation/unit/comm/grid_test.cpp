// The process grid is arithmetic: round trips, partitions into groups, clear errors.

#include "lib/comm/grid.hpp"
#include "kernels/base/error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace trireme::comm {
namespace {

constexpr GroupKind kKinds[] = {GroupKind::tensor,  GroupKind::data,     GroupKind::shard,
                                GroupKind::replica, GroupKind::pipeline, GroupKind::tied,
                                GroupKind::world};

/// Laws of every grid, for every rank.
void expect_lawful(const ProcessGrid& grid) {
  for (int rank = 0; rank < grid.size(); ++rank) {
    const Coordinates at = grid.coordinates(rank);
    ASSERT_EQ(grid.rank(at), rank);
    for (GroupKind kind : kKinds) {
      const Group group = grid.group(kind, rank);
      if (group.count == 0) {
        ASSERT_EQ(kind, GroupKind::tied);
        ASSERT_EQ(grid.group_id(kind, rank), -1);
        continue;
      }
      ASSERT_EQ(group.count, grid.size(kind));
      const int index = group.index_of(rank);
      ASSERT_GE(index, 0) << grid.text() << " " << group.text() << " rank " << rank;
      ASSERT_EQ(group.rank(index), rank);
      // All members see the same group and the same id.
      const int other = group.rank((index + 1) % group.count);
      ASSERT_EQ(grid.group(kind, other), group);
      ASSERT_EQ(grid.group_id(kind, other), grid.group_id(kind, rank));
      ASSERT_LT(grid.group_id(kind, rank), grid.groups(kind));
    }
  }
}

TEST(Grid, TensorVariesFastestThenDataThenPipeline) {
  const ProcessGrid grid(2, 3, 2);
  EXPECT_EQ(grid.coordinates(0), (Coordinates{0, 0, 0}));
  EXPECT_EQ(grid.coordinates(1), (Coordinates{0, 1, 0}));
  EXPECT_EQ(grid.coordinates(3), (Coordinates{1, 0, 0}));
  EXPECT_EQ(grid.coordinates(6), (Coordinates{0, 0, 1}));
  EXPECT_EQ(grid.group(GroupKind::tensor, 4).text(), "tensor group {3, 4, 5}");
  EXPECT_EQ(grid.group(GroupKind::data, 7).text(), "data group {7, 10}");
  EXPECT_EQ(grid.group(GroupKind::pipeline, 7).text(), "pipeline group {1, 7}");
  EXPECT_EQ(grid.group(GroupKind::tied, 7).text(), "tied group {1, 7}");
}

TEST(Grid, RoundTripsAndGroupsOfSmallGrids) {
  for (int d = 1; d <= 4; ++d)
    for (int t = 1; t <= 3; ++t)
      for (int p = 1; p <= 4; ++p)
        for (int s = 1; s <= d; ++s)
          if (d % s == 0) expect_lawful(ProcessGrid(d, t, p).with_shard(s));
}

TEST(Grid, RoundTripsAndGroupsOfTenThousandRanks) {
  expect_lawful({125, 8, 10});
  expect_lawful({10000, 1, 1});
  expect_lawful({1, 4, 2500});
  expect_lawful(ProcessGrid(120, 8, 10).with_shard(24));
}

TEST(Grid, GroupsOfOneKindPartitionTheRanks) {
  const ProcessGrid grid = ProcessGrid(6, 2, 4).with_shard(3);
  for (GroupKind kind : {GroupKind::tensor, GroupKind::data, GroupKind::shard, GroupKind::replica,
                         GroupKind::pipeline}) {
    std::set<int> seen;
    std::set<int> ids;
    for (int rank = 0; rank < grid.size(); ++rank) {
      if (!ids.insert(grid.group_id(kind, rank)).second) continue;
      const Group group = grid.group(kind, rank);
      for (int i = 0; i < group.count; ++i) EXPECT_TRUE(seen.insert(group.rank(i)).second);
    }
    EXPECT_EQ(static_cast<int>(seen.size()), grid.size());
    EXPECT_EQ(static_cast<int>(ids.size()), grid.groups(kind));
  }
}

TEST(Grid, TiedGroupsHoldTheFirstAndTheLastStageOnly) {
  const ProcessGrid grid(2, 2, 3);
  EXPECT_EQ(grid.group(GroupKind::tied, 1), (Group{GroupKind::tied, 1, 8, 2}));
  EXPECT_EQ(grid.group(GroupKind::tied, 9), (Group{GroupKind::tied, 1, 8, 2}));
  EXPECT_EQ(grid.group(GroupKind::tied, 5).count, 0);
  EXPECT_EQ(ProcessGrid(2, 2, 1).group(GroupKind::tied, 3).count, 1);
}

TEST(Grid, ShardGroupsAreNeighboursAndReplicaGroupsCrossThem) {
  const ProcessGrid grid = ProcessGrid(6, 2, 2).with_shard(3);
  EXPECT_EQ(grid.shard(), 3);
  EXPECT_EQ(grid.replicas(), 2);
  EXPECT_EQ(grid.group(GroupKind::shard, 3).text(), "shard group {1, 3, 5}");
  EXPECT_EQ(grid.group(GroupKind::shard, 18).text(), "shard group {18, 20, 22}");
  EXPECT_EQ(grid.group(GroupKind::replica, 3).text(), "replica group {3, 9}");
  for (int rank = 0; rank < grid.size(); ++rank) {
    const Group data = grid.group(GroupKind::data, rank);
    const Group shard = grid.group(GroupKind::shard, rank);
    const Group replica = grid.group(GroupKind::replica, rank);
    // Each member of the data group is at one place in one copy of the state.
    EXPECT_EQ(data.index_of(rank), replica.index_of(rank) * 3 + shard.index_of(rank));
    for (int i = 0; i < shard.count; ++i)
      EXPECT_EQ(data.index_of(shard.rank(i)), replica.index_of(rank) * 3 + i);
    for (int i = 0; i < replica.count; ++i)
      EXPECT_EQ(grid.group(GroupKind::shard, replica.rank(i)).index_of(replica.rank(i)),
                shard.index_of(rank));
  }
}

TEST(Grid, StateIsDividedOverTheWholeDataAxisUnlessSaidOtherwise) {
  const ProcessGrid grid(4, 2, 1);
  EXPECT_EQ(grid.with_shard(0), grid);
  EXPECT_EQ(grid.with_shard(2).with_shard(4), grid);
  EXPECT_NE(grid.with_shard(2), grid);
  Group shard = grid.group(GroupKind::shard, 5);
  shard.kind = GroupKind::data;
  EXPECT_EQ(shard, grid.group(GroupKind::data, 5));
  EXPECT_EQ(grid.group(GroupKind::replica, 5).count, 1);
  EXPECT_EQ(ProcessGrid().group(GroupKind::shard, 0).count, 1);
}

TEST(Grid, AShardSizeThatDoesNotDivideNamesOneThatDoes) {
  for (const int bad : {-1, 4, 5, 7, 12}) {
    try {
      (void)ProcessGrid(6, 1, 1).with_shard(bad);
      ADD_FAILURE() << "no error for " << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kUsage);
      const std::string nearest = bad < 0 ? "such as 1" : bad < 6 ? "such as 3" : "such as 6";
      EXPECT_NE(error.text().find(nearest), std::string::npos) << error.text();
    }
  }
}

TEST(Grid, StrangersHaveNoIndex) {
  const Group group{GroupKind::data, 4, 3, 2};  // 4, 7
  for (int rank : {0, 1, 3, 5, 6, 8, 10}) EXPECT_EQ(group.index_of(rank), -1) << rank;
  EXPECT_EQ(group.index_of(7), 1);
}

TEST(Grid, DataIsDerived) {
  EXPECT_EQ(ProcessGrid::fit(8, 0, 2, 2), ProcessGrid(2, 2, 2));
  EXPECT_EQ(ProcessGrid::fit(6, 0, 0, 0), ProcessGrid(6, 1, 1));
  EXPECT_EQ(ProcessGrid::fit(12, 3, 2, 2), ProcessGrid(3, 2, 2));
}

std::string error_of_fit(int ranks, int d, int t, int p) {
  try {
    ProcessGrid::fit(ranks, d, t, p);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kUsage);
    return error.text();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(Grid, MisfitsNameTheNearestGrid) {
  EXPECT_EQ(error_of_fit(8, 0, 3, 1),
            "the grid data auto x tensor 3 x pipeline 1 does not make 8 ranks; the nearest that "
            "does is data 2 x tensor 4 x pipeline 1");
  EXPECT_NE(error_of_fit(6, 2, 2, 2).find("data 3 x tensor 2 x pipeline 1"), std::string::npos);
  EXPECT_NE(error_of_fit(7, 1, 2, 4).find("nearest"), std::string::npos);
  EXPECT_NE(error_of_fit(4, -1, 1, 1).find("found data -1"), std::string::npos);
  EXPECT_NE(error_of_fit(4, 100000, 100000, 100000).find("nearest"), std::string::npos);
}

TEST(Grid, TheNearestGridAlwaysFits) {
  for (int ranks = 1; ranks <= 24; ++ranks)
    for (int t = 1; t <= 5; ++t)
      for (int p = 1; p <= 5; ++p) {
        if (ranks % (t * p) == 0) continue;
        const std::string text = error_of_fit(ranks, 0, t, p);
        int d2 = 0, t2 = 0, p2 = 0;
        const auto at = text.find("does is ");
        ASSERT_EQ(std::sscanf(text.c_str() + at, "does is data %d x tensor %d x pipeline %d", &d2,
                              &t2, &p2),
                  3);
        EXPECT_EQ(d2 * t2 * p2, ranks);
      }
}

TEST(Grid, PlanNamesEveryRankOfSmallGridsAndStaysShortForLargeOnes) {
  const std::string small =
      grid_plan({2, 2, 2}, [](int stage) { return stage ? "blocks 3-5, head" : "blocks 0-2"; });
  EXPECT_NE(small.find("stage 1   ranks 4-7          blocks 3-5, head"), std::string::npos)
      << small;
  EXPECT_NE(small.find("replica 1    ranks 2-3"), std::string::npos) << small;
  EXPECT_EQ(small.find("shard"), std::string::npos) << small;
  const std::string sharded = grid_plan(ProcessGrid(4, 1, 1).with_shard(2));
  EXPECT_NE(sharded.find("= 4 ranks, shard 2"), std::string::npos) << sharded;
  EXPECT_NE(sharded.find("divided over 2 neighbouring data ranks (shard) and held 2 times"),
            std::string::npos)
      << sharded;
  const std::string large = grid_plan({125, 8, 10});
  EXPECT_LT(std::ranges::count(large, '\n'), 20) << large;
  EXPECT_NE(large.find("= 10000 ranks"), std::string::npos);
}

}  // namespace
}  // namespace trireme::comm
