// Pipeline schedules: completeness, order, memory in flight, balance of the partition.

#include "lib/program/schedule.hpp"
#include "kernels/base/error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace trireme::program {
namespace {

ScheduleShape shape_of(Schedule schedule, int stages, int virtual_stages, int micros) {
  return {schedule, stages, virtual_stages, micros, false};
}

std::vector<ScheduleShape> all_shapes() {
  std::vector<ScheduleShape> shapes;
  for (const int stages : {1, 2, 3, 4, 8})
    for (const int micros : {1, 2, 3, 8, 16}) {
      shapes.push_back(shape_of(Schedule::gpipe, stages, 1, micros));
      shapes.push_back(shape_of(Schedule::one_f_one_b, stages, 1, micros));
      for (const int v : {2, 3})
        if (stages > 1 && micros % stages == 0)
          shapes.push_back(shape_of(Schedule::interleaved, stages, v, micros));
    }
  return shapes;
}

TEST(Schedule, EveryChunkRunsEveryMicroBatchOnceEachWay) {
  for (const ScheduleShape& shape : all_shapes())
    for (int s = 0; s < shape.stages; ++s) {
      std::set<std::tuple<bool, int, int>> seen;
      for (const Action& a : stage_actions(shape, s)) {
        EXPECT_EQ(a.chunk % shape.stages, s);
        EXPECT_TRUE(seen.emplace(a.forward, a.chunk, a.micro).second);
      }
      EXPECT_EQ(seen.size(),
                static_cast<std::size_t>(2 * shape.virtual_stages * shape.micro_batches));
    }
}

TEST(Schedule, LinearOrderRespectsDependencies) {
  for (const ScheduleShape& shape : all_shapes()) {
    const int chunks = shape.stages * shape.virtual_stages;
    const std::vector<double> forward(static_cast<std::size_t>(chunks), 1.0);
    const std::vector<double> backward(static_cast<std::size_t>(chunks), 2.0);
    std::set<std::tuple<bool, int, int>> done;
    for (const Action& a : linear_order(shape, forward, backward)) {
      if (a.forward) {
        EXPECT_TRUE(a.chunk == 0 || done.contains({true, a.chunk - 1, a.micro}));
      } else {
        EXPECT_TRUE(done.contains({true, a.chunk, a.micro}));
        EXPECT_TRUE(a.chunk + 1 == chunks || done.contains({false, a.chunk + 1, a.micro}));
      }
      done.emplace(a.forward, a.chunk, a.micro);
    }
    EXPECT_EQ(done.size(), static_cast<std::size_t>(2 * chunks * shape.micro_batches));
  }
}

/// Largest number of micro-batches whose forward is done and whose backward is not.
int in_flight(const ScheduleShape& shape, int stage) {
  int now = 0;
  int most = 0;
  for (const Action& a : stage_actions(shape, stage))
    most = std::max(most, now += a.forward ? 1 : -1);
  return most;
}

TEST(Schedule, OneForwardOneBackwardBoundsActivations) {
  for (int s = 0; s < 4; ++s) {
    EXPECT_EQ(in_flight(shape_of(Schedule::one_f_one_b, 4, 1, 16), s), 4 - s);
    EXPECT_EQ(in_flight(shape_of(Schedule::gpipe, 4, 1, 16), s), 16);
  }
}

TEST(Schedule, ShapesWithoutAScheduleAreNamed) {
  EXPECT_THROW(stage_actions(shape_of(Schedule::interleaved, 4, 2, 6), 0), Error);
  EXPECT_THROW(stage_actions(shape_of(Schedule::one_f_one_b, 4, 2, 8), 0), Error);
  EXPECT_THROW(stage_actions(shape_of(Schedule::interleaved, 1, 2, 8), 0), Error);
}

TEST(Partition, BalancesAndKeepsEveryPartNonEmpty) {
  const std::vector<double> costs{1, 4, 4, 4, 4, 4, 4, 9};
  for (int parts = 1; parts <= 8; ++parts) {
    const auto begins = partition_blocks(costs, parts);
    ASSERT_EQ(begins.size(), static_cast<std::size_t>(parts) + 1);
    EXPECT_EQ(begins.front(), 0);
    EXPECT_EQ(begins.back(), 8);
    EXPECT_EQ(std::adjacent_find(begins.begin(), begins.end(), std::greater_equal<>()),
              begins.end());
    double worst = 0;
    for (std::size_t p = 0; p + 1 < begins.size(); ++p)
      worst = std::max(
          worst, std::accumulate(costs.begin() + begins[p], costs.begin() + begins[p + 1], 0.0));
    // No contiguous partition can be better than the mean; ours stays within one block of it.
    EXPECT_LE(worst, 34.0 / parts + 9);
  }
  EXPECT_EQ(partition_blocks(costs, 2), (std::vector<std::int32_t>{0, 5, 8}));
  EXPECT_THROW(partition_blocks(costs, 9), Error);
  EXPECT_EQ(partition_blocks(costs, 2, {2, 4}), (std::vector<std::int32_t>{0, 3, 8}));
  EXPECT_THROW(partition_blocks(costs, 2, {2, 3}), Error);
}

}  // namespace
}  // namespace trireme::program
