// trireme-report as a user runs it: what it prints and how it fails.

#include "lib/report/compare.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"
#include "trireme_paths.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace trireme::report {
namespace {

struct Answer {
  int code = -1;
  std::string text;
};

Answer trireme_report(const std::string& arguments) {
  const std::string command =
      std::string(trireme::kBinaryDir) + "/apps/trireme-report " + arguments + " 2>&1";
  Answer answer;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return answer;
  std::array<char, 4096> buffer;
  for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    answer.text.append(buffer.data(), n);
  }
  answer.code = WEXITSTATUS(::pclose(pipe));
  return answer;
}

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
