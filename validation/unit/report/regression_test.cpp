// Two sets of runs: the same must pass, each planted fault must be found, and the program must say
// so by its exit code.

#include "lib/report/regression.hpp"
#include "io/metrics/write_file.hpp"
#include "validation/unit/report/command.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace trireme::report {
namespace {

using Runs = std::vector<Run>;  // in a test body Run is GoogleTest's

using sample::Sample;

constexpr std::int64_t kSteps = 60;

Run run_of(std::string name, const std::function<void(Sample&)>& change = {}) {
  Sample made = sample::make(2, 2, 1, kSteps);
  if (change) change(made);
  fill_from_log(made.report, made.log);
  return {std::move(name), made.report, made.log};
}

std::function<void(Sample&)> slower(double factor) {
  return [factor](Sample& made) {
    for (io::StepRecord& step : made.log.steps) {
      step.seconds *= factor;
      step.tokens_per_second /= factor;
    }
  };
}

std::function<void(Sample&)> worse_loss(double factor) {
  return [factor](Sample& made) {
    for (io::StepRecord& step : made.log.steps)
      if (step.step > kSteps / 2) step.loss *= factor;
  };
}

std::function<void(Sample&)> more_memory(double factor) {
  return [factor](Sample& made) {
    for (std::int64_t& bytes : made.report.resident)
      bytes = static_cast<std::int64_t>(factor * static_cast<double>(bytes));
  };
}

Verdict verdict_on(const Comparison& comparison, Quantity quantity) {
  for (const Finding& finding : comparison.cases.at(0).findings)
    if (finding.quantity == quantity) return finding.verdict;
  return Verdict::none;
}

TEST(Regression, TheSameRunsPass) {
  const Runs base = {run_of("a"), run_of("b")};
  const Runs now = {run_of("c"), run_of("d")};
  const Comparison comparison = compare_sets(base, now, {});
  ASSERT_EQ(comparison.cases.size(), 1u);
  EXPECT_EQ(comparison.cases[0].findings.size(), 4u);
  for (const Finding& finding : comparison.cases[0].findings) {
    EXPECT_EQ(finding.verdict, Verdict::same) << name_of(finding.quantity);
    EXPECT_EQ(finding.change, 0) << name_of(finding.quantity);
    EXPECT_EQ(finding.base.runs, 2u);
  }
  EXPECT_FALSE(comparison.regressed());
}

struct Plant {
  const char* name;
  Quantity quantity;
  std::function<void(Sample&)> within;
  std::function<void(Sample&)> worse;
  std::function<void(Sample&)> better;
};

TEST(Regression, EachPlantedFaultIsFoundAndOnlyBeyondItsTolerance) {
  const Plant plants[] = {
      {"speed", Quantity::throughput, slower(1.08), slower(1.2), slower(0.8)},
      {"loss", Quantity::loss, worse_loss(1.005), worse_loss(1.03), worse_loss(0.97)},
      {"memory", Quantity::memory, more_memory(1.03), more_memory(1.1), more_memory(0.9)}};
  const Runs base = {run_of("a"), run_of("b")};
  for (const Plant& plant : plants) {
    SCOPED_TRACE(plant.name);
    const Runs within = {run_of("w", plant.within)};
    EXPECT_EQ(verdict_on(compare_sets(base, within, {}), plant.quantity), Verdict::same);
    const Runs worse = {run_of("x", plant.worse), run_of("y", plant.worse)};
    const Comparison found = compare_sets(base, worse, {});
    EXPECT_EQ(verdict_on(found, plant.quantity), Verdict::worse);
    EXPECT_TRUE(found.regressed());
    const Runs better = {run_of("z", plant.better)};
    const Comparison praised = compare_sets(base, better, {});
    EXPECT_EQ(verdict_on(praised, plant.quantity), Verdict::better);
    EXPECT_FALSE(praised.regressed());
    EXPECT_NE(comparison_text(praised).find("take a new baseline"), std::string::npos);
  }
}

// Noise slows some processes of a run; a wrong result in one of them is a fault.
TEST(Regression, OneSlowProcessIsNoiseOneWorseLossIsNot) {
  const Runs base = {run_of("a"), run_of("b"), run_of("c")};
  const Runs noisy = {run_of("d"), run_of("e", slower(2)), run_of("f", slower(2))};
  EXPECT_EQ(verdict_on(compare_sets(base, noisy, {}), Quantity::throughput), Verdict::same);
  const Runs wrong = {run_of("d"), run_of("e"), run_of("f", worse_loss(1.03))};
  EXPECT_EQ(verdict_on(compare_sets(base, wrong, {}), Quantity::loss), Verdict::worse);
}

TEST(Regression, TolerancesAreOptions) {
  const Runs base = {run_of("a")};
  const Runs now = {run_of("b", slower(1.2))};
  EXPECT_FALSE(compare_sets(base, now, {.throughput = 0.25}).regressed());
  EXPECT_TRUE(compare_sets(base, now, {.throughput = 0.05}).regressed());
}

TEST(Regression, FailedMissingAndNewRuns) {
  const auto fails = [](Sample& made) { made.report.exit = {"the loss is NaN", 4}; };
  const Runs base = {run_of("a"), run_of("b")};
  const Runs failing = {run_of("c"), run_of("d", fails)};
  const Comparison failed_run = compare_sets(base, failing, {});
  EXPECT_TRUE(failed_run.regressed());
  EXPECT_NE(comparison_text(failed_run).find("d failed (exit 4): the loss is NaN"),
            std::string::npos);
  EXPECT_FALSE(compare_sets(failing, base, {}).regressed()) << "a failed base is left out";

  const auto other = [](Sample& made) { made.report.title = "another"; };
  const Runs others = {run_of("e", other)};
  const Comparison apart = compare_sets(base, others, {});
  ASSERT_EQ(apart.cases.size(), 2u);
  EXPECT_TRUE(apart.cases[0].regressed()) << "the new set lacks a case of the base";
  EXPECT_FALSE(apart.cases[1].regressed()) << "a new case is none";
}

TEST(Regression, ANumberThatIsGoneIsWorse) {
  const Runs base = {run_of("a"), run_of("b")};
  const auto no_loss = [](Sample& made) { made.log.steps.back().loss = kUnknown; };
  const Runs none = {run_of("c", no_loss)};
  EXPECT_EQ(verdict_on(compare_sets(base, none, {}), Quantity::loss), Verdict::worse);
  const Runs some = {run_of("d"), run_of("e", no_loss)};
  EXPECT_EQ(verdict_on(compare_sets(base, some, {}), Quantity::loss), Verdict::worse);
}

TEST(Regression, SpeedIsJudgedOnOneMachineOnly) {
  const auto elsewhere = [](Sample& made) {
    slower(3)(made);
    made.report.environment.cpu = "another";
  };
  const Runs base = {run_of("a")};
  const Runs now = {run_of("b", elsewhere)};
  const Comparison comparison = compare_sets(base, now, {});
  EXPECT_EQ(verdict_on(comparison, Quantity::throughput), Verdict::none);
  EXPECT_NE(comparison_text(comparison).find("another machine"), std::string::npos);
}

TEST(Regression, DecksThatComputeOtherwiseAreOtherCases) {
  const auto with = [](const char* deck) {
    return [deck](Sample& made) { made.report.deck = deck; };
  };
  const Runs base = {run_of("a", with(R"({"gradient_clipping": 1.0, "report": {"html": true}})"))};
  const Runs page = {run_of("b", with(R"({"gradient_clipping": 1.0, "report": {"html": false}})"))};
  EXPECT_EQ(compare_sets(base, page, {}).cases.size(), 1u);
  const Runs clipped = {
      run_of("c", with(R"({"gradient_clipping": 0.5, "report": {"html": true}})"))};
  const Comparison apart = compare_sets(base, clipped, {});
  EXPECT_EQ(apart.cases.size(), 2u);
  EXPECT_NE(comparison_text(apart).find("gradient_clipping"), std::string::npos);
}

class CompareCommand : public testing::Test {
 protected:
  void write(const std::string& name, const std::function<void(Sample&)>& change = {}) {
    Sample made = sample::make(2, 2, 1, kSteps);
    if (change) change(made);
    fill_from_log(made.report, made.log);
    std::filesystem::create_directories(folder_ / name);
    sample::write_run(folder_ / name, made);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_ = sample::fresh_folder("regression");
};

TEST_F(CompareCommand, ExitCodesTellAndFilesAreWritten) {
  for (const char* name : {"base/1", "base/2", "same/1"}) write(name);
  write("slow/1", slower(1.3));
  const Answer same = trireme_report("--compare " + path("base") + " " + path("same"));
  EXPECT_EQ(same.code, 0) << same.text;
  const Answer slow = trireme_report("--compare " + path("base") + " " + path("slow") +
                                     " --junit " + path("out.xml") + " --page " + path("out.html"));
  EXPECT_EQ(slow.code, 1) << slow.text;
  EXPECT_NE(slow.text.find("regression: dictionary_tiny 2x2x1: tokens/s"), std::string::npos)
      << slow.text;
  const std::string junit = io::read_file(folder_ / "out.xml", "JUnit");
  EXPECT_NE(junit.find("tests=\"5\" failures=\"1\""), std::string::npos) << junit;
  EXPECT_NE(io::read_file(folder_ / "out.html", "a page").find("WORSE"), std::string::npos);
  const Answer lenient =
      trireme_report("--throughput-tolerance 0.5 --compare " + path("base") + " " + path("slow"));
  EXPECT_EQ(lenient.code, 0) << lenient.text;
}

TEST_F(CompareCommand, WrongUseIsExitTwo) {
  write("base/1");
  std::filesystem::create_directories(folder_ / "empty");
  EXPECT_EQ(trireme_report("--compare " + path("base")).code, 2);
  EXPECT_EQ(trireme_report("--compare " + path("base") + " " + path("empty")).code, 2);
  EXPECT_EQ(trireme_report("--compare --csv " + path("base") + " " + path("base")).code, 2);
  EXPECT_EQ(trireme_report("--junit x.xml " + path("base")).code, 2);
  EXPECT_EQ(
      trireme_report("--loss-tolerance -1 --compare " + path("base") + " " + path("base")).code, 2);
}

}  // namespace
}  // namespace trireme::report
