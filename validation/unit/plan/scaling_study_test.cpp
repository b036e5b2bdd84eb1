// The points of a scaling study: what stays, what grows, and what can't be run is said.

#include "lib/plan/scaling_study.hpp"
#include "lib/plan/this_machine.hpp"
#include "validation/unit/plan/refusal.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace trireme::validation {
namespace {

constexpr char kDeck[] = R"({
  "model": {"family": "gpt", "vocabulary": 64, "context": 8, "layers": 4, "hidden": 32, "heads": 4},
  "data": {"tokens": "none.h5"}, "train_batch_size": 24, "train_micro_batch_size_per_gpu": 2,
  "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}, "run": {"max_steps": 2}
})";

plan::Machine cluster() {
  plan::Machine machine;
  machine.name = "test";
  machine.scheduler = "slurm";
  machine.nodes = 4;
  machine.ranks_per_node = 4;
  machine.node.cores = 8;
  machine.node.memory = std::int64_t{1} << 34;
  return machine;
}

plan::ScalingStudy study_of(const plan::StudyRequest& request,
                            const plan::Machine& machine = cluster(),
                            const std::vector<std::string>& overrides = {}) {
  return plan::plan_study({kDeck, "/nowhere/deck.json"}, overrides, machine, request);
}

const report::StudyPoint& point_of(const plan::ScalingStudy& study, const std::string& kind,
                                   std::int64_t ranks) {
  const auto& points = study.study.points;
  const auto found = std::find_if(points.begin(), points.end(), [&](const auto& point) {
    return point.kind == kind && point.ranks == ranks;
  });
  EXPECT_NE(found, points.end());
  return *found;
}

TEST(ScalingStudyTest, StrongKeepsTheBatchWeakTheSamplesOfARank) {
  const plan::ScalingStudy study = study_of({.ranks = {1, 2, 4, 12}});
  for (const std::int64_t ranks : {1, 2, 4, 12}) {
    const report::StudyPoint& strong = point_of(study, "strong", ranks);
    EXPECT_EQ(strong.batch, 24);
    EXPECT_EQ(strong.refused, "") << ranks;
    EXPECT_EQ(strong.data, ranks);
    EXPECT_EQ(strong.micro, 2);
    EXPECT_EQ(strong.threads, 2);
    EXPECT_EQ(strong.nodes, ranks == 12 ? 3 : 1);
    EXPECT_EQ(strong.ranks_per_node, std::min<std::int64_t>(ranks, 4));
    const report::StudyPoint& weak = point_of(study, "weak", ranks);
    EXPECT_EQ(weak.batch, 24 * ranks);
    EXPECT_EQ(weak.refused, "");
  }
  // The smallest point is one run for both.
  EXPECT_EQ(point_of(study, "strong", 1).run, point_of(study, "weak", 1).run);
  const std::string lines = plan::shell_text(study);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 7);
  EXPECT_TRUE(contains(lines, "--set 'train_batch_size=24'")) << lines;
}

TEST(ScalingStudyTest, WhatDoesNotDivideIsSaid) {
  const plan::ScalingStudy study =
      study_of({.weak = false, .ranks = {1, 2, 6, 8, 16, 32}, .grids = {{1, 1}, {2, 2}, {8, 1}}});
  const auto refusals = [&](std::int64_t ranks) {
    std::string all;
    for (const report::StudyPoint& point : study.study.points)
      if (point.ranks == ranks) all += point.refused + "\n";
    return all;
  };
  EXPECT_TRUE(contains(refusals(1), "1 ranks do not divide into tensor 2 x pipeline 2"));
  EXPECT_TRUE(contains(refusals(6), "6 ranks do not fill nodes of 4 ranks"));
  EXPECT_TRUE(
      contains(refusals(16), "a batch of 24 does not divide into micro-batches of 2 on 16"));
  EXPECT_TRUE(contains(refusals(32), "8 nodes were asked for, test has 4"));
  EXPECT_TRUE(contains(refusals(8), "heads 4 does not divide")) << refusals(8);
  // The twin: on four nodes with tensor 2 x pipeline 2 there are four replicas, and they do.
  for (const report::StudyPoint& point : study.study.points)
    EXPECT_TRUE(point.ranks != 16 || point.tensor != 2 || point.refused.empty()) << point.refused;
  EXPECT_TRUE(contains(plan::study_text(study), "not run: 6 ranks do not fill"));
}

TEST(ScalingStudyTest, WhatNoPointCanBeMadeOfIsRefused) {
  const auto no = [](const plan::StudyRequest& request,
                     const std::vector<std::string>& overrides = {}) {
    return refusal([&] { study_of(request, cluster(), overrides); });
  };
  EXPECT_TRUE(contains(no({.ranks = {}}), "wants numbers of ranks"));
  EXPECT_TRUE(contains(no({.ranks = {1}, .steps = 2}), "at least 3 steps"));
  EXPECT_TRUE(contains(no({.ranks = {1}}, {"train_batch_size=auto"}), "train_batch_size=N"));
  EXPECT_TRUE(contains(no({.ranks = {5, 10}}), "say --samples-per-rank"));
  EXPECT_TRUE(contains(no({.weak = false, .ranks = {5}}), "no point of the study can be run"));
  EXPECT_TRUE(contains(no({.ranks = {1}}, {"model.hiden=3"}), "hidden"));
}

TEST(ScalingStudyTest, TooLittleMemoryIsARefusalOfThePoint) {
  plan::Machine machine = cluster();
  machine.node.memory = 3 << 20;
  const plan::ScalingStudy study = study_of({.weak = false, .ranks = {1, 4}}, machine);
  EXPECT_EQ(point_of(study, "strong", 1).refused, "");
  EXPECT_TRUE(contains(point_of(study, "strong", 4).refused, "a rank needs"))
      << point_of(study, "strong", 4).refused;
}

TEST(ScalingStudyTest, WithoutASchedulerAllRanksShareTheMachine) {
  const plan::Machine machine = plan::this_machine();
  EXPECT_EQ(machine.threads_per_rank(), 1);
  const std::int64_t many = 4 * machine.node.cores;
  const plan::ScalingStudy study =
      study_of({.strong = false, .ranks = {1, many}, .samples_per_rank = 2}, machine);
  EXPECT_EQ(point_of(study, "weak", many).nodes, 1);
  EXPECT_EQ(point_of(study, "weak", many).batch, 2 * many);
  EXPECT_EQ(point_of(study, "weak", many).refused, "");
}

TEST(ScalingStudyTest, ListsAreReadStrictly) {
  EXPECT_EQ(plan::read_counts("8,1,2,2", "--ranks"), (std::vector<std::int64_t>{1, 2, 8}));
  const auto grids = plan::read_grids("1x1,2x4");
  ASSERT_EQ(grids.size(), 2u);
  EXPECT_EQ(grids[1].tensor, 2);
  EXPECT_EQ(grids[1].pipeline, 4);
  for (const char* wrong : {"0", "1,", "a", "1;2", ",", "1,,2", "-1"}) {
    EXPECT_TRUE(contains(refusal([&] { plan::read_counts(wrong, "--ranks"); }), "--ranks wants"))
        << wrong;
  }
  for (const char* wrong : {"2", "2x", "x2", "0x1", "1x1,", "1x1x1", "2x2 "})
    EXPECT_TRUE(contains(refusal([&] { plan::read_grids(wrong); }), "--grids wants")) << wrong;
}

}  // namespace
}  // namespace trireme::validation
