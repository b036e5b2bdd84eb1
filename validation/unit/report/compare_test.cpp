// trireme-report as a user runs it: what it prints and how it fails.

#include "lib/report/compare.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"
#include "lib/report/format.hpp"
#include "validation/unit/report/command.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace trireme::report {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Compare : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = sample::fresh_folder("compare");
    for (const char* name : {"a", "b"}) {
      std::filesystem::create_directory(folder_ / name);
      sample::write_run(folder_ / name, sample::make(2, 2, *name == 'a' ? 2 : 1, 40));
    }
    a_ = (folder_ / "a").string();
    b_ = (folder_ / "b").string();
  }

  std::filesystem::path folder_;
  std::string a_, b_;
};

TEST_F(Compare, OneRunIsASummaryManyAreATable) {
  const Answer one = trireme_report(a_);
  EXPECT_EQ(one.code, 0) << one.text;
  EXPECT_TRUE(contains(one.text, "wait for receive")) << one.text;
  const Answer two = trireme_report(a_ + " " + b_);
  EXPECT_EQ(two.code, 0) << two.text;
  EXPECT_EQ(std::count(two.text.begin(), two.text.end(), '\n'), 3) << two.text;
  EXPECT_TRUE(contains(two.text, "2x2x1")) << two.text;
}

TEST_F(Compare, JsonAndCsvHoldTheSameNumbersInFull) {
  const RunReport report = sample::make(2, 2, 2, 40).report;
  const Answer json = trireme_report("--json " + a_ + " " + b_);
  const auto rows = nlohmann::ordered_json::parse(json.text);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["mfu"].get<double>(), report.mfu);
  EXPECT_EQ(rows[0]["loss_validation"].get<double>(), report.loss.validation);
  const Answer csv = trireme_report("--csv " + a_ + " " + b_);
  std::string head;
  for (const auto& [key, value] : rows[0].items()) head += (head.empty() ? "" : ",") + key;
  EXPECT_EQ(csv.text.substr(0, head.size() + 2), head + "\r\n");
  EXPECT_TRUE(contains(csv.text, rows[0]["step_seconds_median"].dump())) << csv.text;
}

TEST(Columns, CsvQuotesByRfc4180AndLeavesUnknownEmpty) {
  report::Run run{"a,\"b\"", {}, {}};
  run.log.steps.push_back({});
  EXPECT_TRUE(contains(runs_csv({&run, 1}), "\r\n\"a,\"\"b\"\"\","));
  EXPECT_EQ(steps_csv({&run, 1}),
            "run,step,tokens,loss,grad_norm,lr,loss_scale,seconds,tokens_per_second,mfu\r\n"
            "\"a,\"\"b\"\"\",0,0,,,,1,,,\r\n");
  EXPECT_TRUE(nlohmann::json::parse(runs_json({&run, 1}))[0]["mfu"].is_null());
}

TEST_F(Compare, TableIsSortedAndTheBestAreMarked) {
  sample::Sample fast = sample::make(2, 2, 1, 40);
  for (io::StepRecord& step : fast.log.steps) {
    step.tokens_per_second *= 2;
    step.loss += 1;
  }
  fill_from_log(fast.report, fast.log);
  fast.report.loss.validation += 1;
  std::filesystem::create_directory(folder_ / "c");
  sample::write_run(folder_ / "c", fast);
  const auto place = [](const Answer& answer, const std::string& name) {
    return answer.text.find("\n" + name + " ");
  };
  const Answer by_loss = trireme_report(folder_.string());  // a folder of runs
  EXPECT_LT(place(by_loss, "a"), place(by_loss, "c")) << by_loss.text;
  const Answer by_speed = trireme_report("--sort speed " + folder_.string());
  EXPECT_LT(place(by_speed, "c"), place(by_speed, "a")) << by_speed.text;
  const std::size_t c = place(by_speed, "c");
  const std::string line = by_speed.text.substr(c + 1, by_speed.text.find('\n', c + 1) - c - 1);
  EXPECT_TRUE(contains(line, format_speed(fast.report.tokens_per_second) + "*")) << line;
  EXPECT_EQ(trireme_report("--sort colour " + a_).code, 2);
}

TEST_F(Compare, DeckDifferencesAreColumns) {
  const char* decks[] = {R"({"gradient_clipping": 1.0, "optimizer": {"params": {"lr": 0.001}}})",
                         R"({"gradient_clipping": 1.0, "optimizer": {"params": {"lr": 0.002}}})"};
  for (int i = 0; i < 2; ++i) {
    sample::Sample run = sample::make(2, 2, 1, 40);
    run.report.deck = decks[i];
    write_report(folder_ / (i == 0 ? "a" : "b"), run.report);
  }
  const Answer table = trireme_report(a_ + " " + b_);
  EXPECT_TRUE(contains(table.text, "run  lr ")) << table.text;
  EXPECT_TRUE(contains(table.text, "0.002")) << table.text;
  EXPECT_FALSE(contains(table.text, "gradient_clipping")) << "the same in both";
  const auto rows = nlohmann::json::parse(trireme_report("--json " + a_ + " " + b_).text);
  EXPECT_EQ(rows[0]["deck.optimizer.params.lr"], "0.001");
}

TEST_F(Compare, FailedRunsStandApartWithTheirReason) {
  std::filesystem::remove(folder_ / "b/report.json");
  io::write_file_atomically(folder_ / "b/exit.json",
                            R"({"code": 4, "reason": "the loss is <NaN>", "step": 40})");
  const Answer answer = trireme_report(a_ + " " + b_ + " --page " + (folder_ / "p.html").string());
  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_LT(answer.text.find("failed:"), answer.text.find("the loss is <NaN>")) << answer.text;
  const std::string page = io::read_file(folder_ / "p.html", "a page");
  EXPECT_TRUE(contains(page, "<h2>Failed runs</h2>"));
  EXPECT_TRUE(contains(page, "the loss is &lt;NaN&gt;"));
}

// The part that failed counts, not the report of the part before it.
TEST_F(Compare, AResumedRunThatFailedIsNotTakenForTheOneBefore) {
  io::write_file_atomically(folder_ / "b/exit.json", R"({"code": 5, "reason": "peer lost"})");
  const Answer answer = trireme_report(a_ + " " + b_);
  EXPECT_TRUE(contains(answer.text, "peer lost")) << answer.text;
}

TEST_F(Compare, StepsAreAllThere) {
  const Answer steps = trireme_report("--steps " + a_ + " " + b_);
  EXPECT_EQ(steps.code, 0);
  EXPECT_EQ(std::count(steps.text.begin(), steps.text.end(), '\n'), 1 + 2 * 40);
}

TEST_F(Compare, HtmlIsWrittenAnew) {
  std::filesystem::remove(folder_ / "a/report.html");
  const Answer answer = trireme_report("--html " + a_);
  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_EQ(answer.text, a_ + "/report.html\n");
  EXPECT_TRUE(contains(io::read_file(folder_ / "a/report.html", "a page"), "</html>"));
}

TEST_F(Compare, TornLogIsSaidAndReadTornReportIsAnError) {
  const std::string log = io::read_file(folder_ / "a/log.jsonl", "a log");
  io::write_file_atomically(folder_ / "a/log.jsonl", log.substr(0, log.size() - 30));
  const Answer torn_log = trireme_report(a_);
  EXPECT_EQ(torn_log.code, 0);
  EXPECT_TRUE(contains(torn_log.text, "torn, left out")) << torn_log.text;

  const std::string report = io::read_file(folder_ / "a/report.json", "a report");
  io::write_file_atomically(folder_ / "a/report.json", report.substr(0, 1000));
  const Answer torn_report = trireme_report(a_ + " " + b_);
  EXPECT_EQ(torn_report.code, 3) << torn_report.text;
  EXPECT_TRUE(contains(torn_report.text, "a/report.json, found 1000 bytes")) << torn_report.text;
  EXPECT_TRUE(contains(torn_report.text, "wait for receive")) << "the good run is shown";
}

TEST_F(Compare, MissingFilesAreNamed) {
  const Answer nowhere = trireme_report((folder_ / "nowhere").string());
  EXPECT_EQ(nowhere.code, 3);
  EXPECT_TRUE(contains(nowhere.text, "found no folder")) << nowhere.text;
  std::filesystem::remove(folder_ / "a/log.jsonl");
  const Answer no_log = trireme_report(a_);
  EXPECT_EQ(no_log.code, 3);
  EXPECT_TRUE(contains(no_log.text, "a run's log in")) << no_log.text;
  std::filesystem::remove(folder_ / "a/report.json");
  const Answer no_report = trireme_report(a_);
  EXPECT_EQ(no_report.code, 3);
  EXPECT_TRUE(contains(no_report.text, "a/report.json of a finished run")) << no_report.text;
}

TEST_F(Compare, BadArgumentsAreExitTwo) {
  EXPECT_EQ(trireme_report("").code, 2);
  EXPECT_EQ(trireme_report("--nonsense " + a_).code, 2);
  EXPECT_EQ(trireme_report("--csv --json " + a_).code, 2);
  EXPECT_EQ(trireme_report("--help").code, 0);
  EXPECT_EQ(trireme_report("--version").code, 0);
}

}  // namespace
}  // namespace trireme::report
