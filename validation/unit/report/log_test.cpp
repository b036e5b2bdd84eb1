// The run's log: whole lines whatever happens, the same bits back, each step once.

#include "io/metrics/log_file.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>

namespace trireme::io {
namespace {

using report::sample::fresh_folder;

StepRecord step(std::int64_t number) {
  return {number, number * 1024, 1.0 / 3 + static_cast<double>(number), 0.1, 3e-4, 65536, 0.7,
          1e5,    0.41};
}

std::vector<std::int64_t> steps_of(const LogContents& log) {
  std::vector<std::int64_t> steps;
  for (const auto& record : log.steps) steps.push_back(record.step);
  return steps;
}

TEST(Log, StepHasExactlyTheKeysOfTheIssueInOrder) {
  EXPECT_EQ(to_line(StepRecord{3, 3072, 2.5, 0.25, 0.5, 1, 0.125, 8192, 0.375}),
            R"({"step":3,"tokens":3072,"loss":2.5,"grad_norm":0.25,"lr":0.5,"loss_scale":1,)"
            R"("seconds":0.125,"tokens_per_second":8192,"mfu":0.375})");
}

TEST(Log, NumbersComeBackWithTheSameBits) {
  const auto folder = fresh_folder("bits");
  const std::vector<double> values = {1.0 / 3, std::nextafter(2.0, 3.0), 5e-324, 1.7e308,
                                      -0.0,    123456789.123456789};
  {
    auto log = LogFile::open(folder);
    for (std::size_t i = 0; i < values.size(); ++i) {
      StepRecord record = step(static_cast<std::int64_t>(i) + 1);
      record.loss = values[i];
      log.write(record);
    }
  }
  const auto log = read_log(folder / kLogName);
  ASSERT_EQ(log.steps.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(log.steps[i].loss, values[i]);
    EXPECT_EQ(std::signbit(log.steps[i].loss), std::signbit(values[i]));
  }
}

TEST(Log, NanIsNullAndComesBack) {
  StepRecord record = step(1);
  record.loss = kUnknown;
  record.grad_norm = std::numeric_limits<double>::infinity();
  const std::string line = to_line(record);
  EXPECT_NE(line.find("\"loss\":null,\"grad_norm\":null"), std::string::npos) << line;
  const auto folder = fresh_folder("nan");
  LogFile::open(folder).write(record);
  EXPECT_TRUE(std::isnan(read_log(folder / kLogName).steps.at(0).loss));
}

TEST(Log, EventsComeBack) {
  const auto folder = fresh_folder("events");
  {
    auto log = LogFile::open(folder);
    log.write(LogRecord(EvaluationEvent{4, 4096, 1.0 / 7, 512, 0.5, {}}));
    log.write(LogRecord(CheckpointEvent{4, "checkpoints/4", 1LL << 40, 2.5, {}}));
    log.write(LogRecord(ResumeEvent{4, "checkpoints/4", "run.max_steps 10 -> 20", {}}));
    log.write(LogRecord(WarningEvent{5, "a \"quoted\"\nline \x01 \xff", {}}));
    log.write(LogRecord(StopEvent{6, "SIGTERM", 10, {}}));
  }
  const auto log = read_log(folder / kLogName);
  EXPECT_EQ(log.evaluations.at(0).loss, 1.0 / 7);
  EXPECT_EQ(log.evaluations.at(0).evaluated, 512);
  EXPECT_EQ(log.evaluations.at(0).time.size(), 20u);
  EXPECT_EQ(log.checkpoints.at(0).bytes, 1LL << 40);
  EXPECT_EQ(log.resumes.at(0).changes, "run.max_steps 10 -> 20");
  EXPECT_EQ(log.warnings.at(0).text, "a \"quoted\"\nline \x01 \xEF\xBF\xBD");
  EXPECT_EQ(log.stops.at(0).code, 10);
}

TEST(Log, TornLastLineIsLeftOutWhereverItIsCut) {
  const auto folder = fresh_folder("torn");
  const std::string first = to_line(step(1)) + "\n";
  const std::string second = to_line(step(2));
  for (std::size_t cut = 1; cut < second.size(); ++cut) {
    write_file_atomically(folder / kLogName, first + second.substr(0, cut));
    const auto log = read_log(folder / kLogName);
    ASSERT_TRUE(log.torn) << cut;
    ASSERT_EQ(steps_of(log), std::vector<std::int64_t>{1}) << cut;
  }
  write_file_atomically(folder / kLogName, first + second + "\n");
  EXPECT_FALSE(read_log(folder / kLogName).torn);
}

TEST(Log, BrokenLineInTheMiddleIsAnErrorThatNamesIt) {
  const auto folder = fresh_folder("middle");
  write_file_atomically(folder / kLogName,
                        to_line(step(1)) + "\n{\"step\":2,\n" + to_line(step(3)) + "\n");
  try {
    read_log(folder / kLogName);
    FAIL() << "a broken line was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kFile);
    EXPECT_NE(error.text().find("line 2"), std::string::npos) << error.text();
  }
}

TEST(Log, ResumeMovesLaterLinesSoThatEachStepStandsOnce) {
  const auto folder = fresh_folder("resume");
  {
    auto log = LogFile::open(folder);
    for (int i = 1; i <= 7; ++i) log.write(step(i));
  }
  for (const std::int64_t last : {5, 3}) {
    auto log = LogFile::open(folder, last);
    for (std::int64_t i = last + 1; i <= 6; ++i) log.write(step(i));
  }
  EXPECT_EQ(steps_of(read_log(folder / kLogName)), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(steps_of(read_log(folder / "log.1.jsonl")), (std::vector<std::int64_t>{6, 7}));
  EXPECT_EQ(steps_of(read_log(folder / "log.2.jsonl")), (std::vector<std::int64_t>{4, 5, 6}));
}

TEST(Log, ResumeAfterATornLineGoesOnWithWholeLines) {
  const auto folder = fresh_folder("resume-torn");
  write_file_atomically(folder / kLogName,
                        to_line(step(1)) + "\n" + to_line(step(2)).substr(0, 20));
  LogFile::open(folder, 1).write(step(2));
  const auto log = read_log(folder / kLogName);
  EXPECT_FALSE(log.torn);
  EXPECT_EQ(steps_of(log), (std::vector<std::int64_t>{1, 2}));
}

TEST(Log, NewRunRefusesAnOldLog) {
  const auto folder = fresh_folder("refuse");
  LogFile::open(folder).write(step(1));
  EXPECT_THROW(LogFile::open(folder), Error);
  EXPECT_NO_THROW(LogFile::open(folder, 1));
}

TEST(Log, EveryWrittenLineSurvivesAKill) {
  const auto folder = fresh_folder("kill");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto log = LogFile::open(folder);
    for (int i = 1; i <= 100; ++i) log.write(step(i));
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto log = read_log(folder / kLogName);
  EXPECT_FALSE(log.torn);
  EXPECT_EQ(log.steps.size(), 100u);
}

TEST(Log, FullDiskIsAnErrorOfItsOwn) {
  const auto folder = fresh_folder("full");
  std::filesystem::create_symlink("/dev/full", folder / kLogName);
  auto log = LogFile::open(folder);
  try {
    log.write(step(1));
    FAIL() << "writing to a full disk succeeded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kFile);
    EXPECT_NE(error.text().find("No space left"), std::string::npos) << error.text();
  }
}

}  // namespace
}  // namespace trireme::io
