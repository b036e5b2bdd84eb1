// A scaling study's numbers: they come from the reports of its runs, each point is compared with
// the right base, and what has no numbers says why.

#include "lib/report/scaling.hpp"
#include "io/metrics/write_file.hpp"
#include "lib/report/report.hpp"
#include "validation/unit/report/command.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trireme::report {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kCores = 4;

/// A study of ranks 1, 2, 4, 8 on `kCores` cores whose runs take `seconds(ranks)` a step.
class ScalingTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = sample::fresh_folder(
        fmt::format("scaling_{}", testing::UnitTest::GetInstance()->current_test_info()->name()));
    study_ = {"tiny", "box", "a test", "2026-11-21T12:00:00Z", 20, {}};
  }

  StudyPoint& plan(const std::string& kind, std::int64_t ranks, std::int64_t batch) {
    StudyPoint& point = study_.points.emplace_back();
    point.kind = kind;
    point.ranks = point.ranks_per_node = point.data = ranks;
    point.micro = 1;
    point.batch = batch;
    point.run = fmt::format("points/{}-{}", ranks, batch);
    return point;
  }

  /// The run of a point: data ranks, `seconds` a step, waits for a quarter of it.
  void run(const StudyPoint& point, double seconds,
           const std::function<void(RunReport&)>& change = {}) {
    sample::Sample made = sample::make(static_cast<int>(point.data), 1, 1, 20);
    RunReport& report = made.report;
    report.grid.micro_batches = static_cast<int>(point.batch / point.data);
    report.world_size = static_cast<int>(point.ranks);
    for (io::StepRecord& step : made.log.steps) {
      step.seconds = step.step == 1 ? 50 * seconds : seconds;
      step.tokens_per_second = static_cast<double>(point.batch) * 256 / seconds;
    }
    fill_from_log(report, made.log);
    report.exit = {"reached run.max_steps", 0};
    report.environment.threads = 1;
    report.environment.machines = 1;
    report.environment.cores = kCores;
    report.regions = {{"forward", 1, 0, 0.75 * seconds, 0},
                      {"wait for gradient sums", 1, 0, 0.25 * seconds, 0}};
    if (change) change(report);
    fs::create_directories(folder_ / point.run);
    sample::write_run(folder_ / point.run, made);
  }

  Scaling read() {
    write_study(folder_, study_);
    return read_scaling(folder_);
  }

  fs::path folder_;
  Study study_;
};

TEST_F(ScalingTest, EfficiencyIsAgainstTheFewestRanksAndTheCoresThereAre) {
  for (const std::int64_t ranks : {1, 2, 4, 8}) plan("strong", ranks, 8);
  run(study_.points[0], 8);
  run(study_.points[1], 5);
  run(study_.points[2], 2);    // as ideal
  run(study_.points[3], 2.5);  // on four cores
  const Scaling scaling = read();
  ASSERT_EQ(scaling.points.size(), 4u);
  EXPECT_EQ(scaling.base("strong"), &scaling.points[0]);
  EXPECT_EQ(scaling.base("weak"), nullptr);
  const double expected[] = {1, 0.8, 1, 0.8};
  for (std::size_t i = 0; i < 4; ++i) {
    const ScalingPoint& point = scaling.points[i];
    EXPECT_EQ(point.state, PointState::measured) << point.reason;
    EXPECT_NEAR(point.efficiency, expected[i], 1e-12) << i;
    EXPECT_EQ(point.oversubscribed, i == 3) << i;
    EXPECT_NEAR(point.communication, 0.25, 1e-12);
    EXPECT_NEAR(point.ideal_step * 8, point.step.median * point.efficiency * 8, 1e-12);
  }
  EXPECT_NEAR(scaling.points[3].efficiency_by_ranks, 0.4, 1e-12);
  EXPECT_NEAR(scaling.points[2].efficiency_by_ranks, 1, 1e-12);
}

TEST_F(ScalingTest, AnOversubscribedPointIsNoBaseWhereThereIsAnother) {
  plan("strong", 1, 8);
  plan("strong", 2, 8);
  run(study_.points[0], 8, [](RunReport& report) { report.environment.threads = 6; });
  run(study_.points[1], 5);
  const Scaling scaling = read();
  EXPECT_EQ(scaling.base("strong"), &scaling.points[1]);
  const std::string text = scaling_text(scaling);
  EXPECT_NE(text.find("oversubscribed, more threads than cores: points of 1 ranks"),
            std::string::npos)
      << text;
}

TEST_F(ScalingTest, TheFirstStepDoesNotCount) {
  plan("strong", 1, 8);
  run(study_.points[0], 3);
  const Scaling scaling = read();
  EXPECT_EQ(scaling.points[0].step.median, 3);
  EXPECT_EQ(scaling.points[0].step.count, 19);
}

TEST_F(ScalingTest, WeakAndStrongMayShareARun) {
  plan("strong", 2, 8);
  plan("weak", 2, 8);
  run(study_.points[0], 3);
  const Scaling scaling = read();
  EXPECT_EQ(scaling.kinds(), (std::vector<std::string>{"strong", "weak"}));
  EXPECT_EQ(scaling.points[1].state, PointState::measured);
}

TEST_F(ScalingTest, PointsWithoutNumbersSayWhy) {
  plan("strong", 1, 8).refused = "a batch of 8 does not divide";
  plan("strong", 2, 8);  // nothing there
  plan("strong", 3, 9);  // failed before its report
  plan("strong", 4, 8);  // another run lies there
  plan("strong", 8, 8);  // stopped early
  fs::create_directories(folder_ / study_.points[2].run);
  io::write_file_atomically(folder_ / study_.points[2].run / "exit.json",
                            R"({"code": 3, "reason": "no space left on the disk"})");
  run(study_.points[3], 2, [](RunReport& report) { report.grid.micro_batches = 5; });
  run(study_.points[4], 2, [](RunReport& report) { report.exit = {"SIGTERM", 10}; });
  const Scaling scaling = read();
  using enum PointState;
  const PointState states[] = {refused, missing, failed, failed, failed};
  const char* reasons[] = {"a batch of 8 does not divide", "not run yet", "no space left",
                           "another run lies in", "exit code 10: SIGTERM"};
  const std::string text = scaling_text(scaling);
  const std::string page = scaling_page(scaling);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(scaling.points[i].state, states[i]) << i;
    EXPECT_NE(scaling.points[i].reason.find(reasons[i]), std::string::npos)
        << scaling.points[i].reason;
    EXPECT_NE(text.find(reasons[i]), std::string::npos) << text;
    EXPECT_NE(page.find(reasons[i]), std::string::npos);
  }
  EXPECT_NE(page.find("No point was measured"), std::string::npos);
}

TEST_F(ScalingTest, ThePageIsOneFileAndShowsEachQuantity) {
  for (const std::int64_t ranks : {1, 2, 4, 8}) plan("strong", ranks, 8);
  for (const StudyPoint& point : study_.points) run(point, 8.0 / static_cast<double>(point.ranks));
  study_.deck = "<tiny & co>";
  const std::string page = scaling_page(read());
  for (const char* title : {"Step time", "Tokens a second", "Efficiency", "Waiting for other ranks",
                            "Bubble", "Memory of the largest rank", "Measured where", "<svg"})
    EXPECT_NE(page.find(title), std::string::npos) << title;
  EXPECT_NE(page.find("&lt;tiny &amp; co&gt;"), std::string::npos);
  for (const char* outside : {"<script", "src=", "<link", "url("})
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  EXPECT_NE(page.find("class=\"ring "), std::string::npos);  // eight ranks on four cores
}

TEST_F(ScalingTest, TheCommandReadsAStudyAndRefusesAnyOtherFolder) {
  plan("strong", 1, 8);
  run(study_.points[0], 3);
  write_study(folder_, study_);
  const std::string page = (folder_ / "page.html").string();
  const Answer text = trireme_report("--scaling " + folder_.string() + " --page " + page);
  EXPECT_EQ(text.code, 0) << text.text;
  EXPECT_NE(text.text.find("scaling of tiny on box"), std::string::npos) << text.text;
  EXPECT_TRUE(fs::exists(page));
  const Answer csv = trireme_report("--scaling --csv " + folder_.string());
  EXPECT_EQ(csv.code, 0) << csv.text;
  EXPECT_NE(csv.text.find("strong,points/1-8,measured"), std::string::npos) << csv.text;
  const Answer none = trireme_report("--scaling " + folder_.string() + "/points");
  EXPECT_EQ(none.code, 3) << none.text;
  EXPECT_NE(none.text.find("study.json"), std::string::npos);
  io::write_file_atomically(folder_ / kStudyName, R"({"deck": "tiny", "points": 7})");
  EXPECT_EQ(trireme_report("--scaling " + folder_.string()).code, 3);
}

}  // namespace
}  // namespace trireme::report
