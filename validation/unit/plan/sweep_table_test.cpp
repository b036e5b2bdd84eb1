// What a sweep came to: ranked by its objective, and the same numbers in CSV, HDF5 and on the page.

#include "lib/plan/sweep/sweep_table.hpp"
#include "io/hdf5/texts.hpp"
#include "io/metrics/write_file.hpp"
#include "validation/unit/plan/refusal.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

namespace trireme::validation {
namespace {

namespace fs = std::filesystem;
using plan::PointState;

constexpr char kBase[] = R"({
  "model": {"family": "gpt", "vocabulary": 64, "context": 8, "layers": 2, "hidden": 32, "heads": 4},
  "data": {"tokens": "tokens.h5"}, "train_batch_size": 24,
  "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}, "run": {"max_steps": 2}
})";

/// Lines of RFC 4180 with their cells; texts of the test hold no line ends.
std::vector<std::vector<std::string>> cells_of(const std::string& csv) {
  std::vector<std::vector<std::string>> lines;
  std::istringstream stream(csv);
  for (std::string line; std::getline(stream, line, '\n');) {
    EXPECT_EQ(line.back(), '\r');
    line.pop_back();
    auto& cells = lines.emplace_back(1);
    bool quoted = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '"') {
        if (quoted && i + 1 < line.size() && line[i + 1] == '"')
          cells.back() += line[++i];
        else
          quoted = !quoted;
      } else if (line[i] == ',' && !quoted) {
        cells.emplace_back();
      } else {
        cells.back() += line[i];
      }
    }
  }
  return lines;
}

/// Six points: three finished with losses 3, 1 and 2, one diverged, one interrupted, one waits.
class SweepTable : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = report::sample::fresh_folder("sweep-table");
    write(R"("objective": {"minimize": "loss.last"})");
    const double losses[] = {3, 1, 2, 9, 0.5};
    for (std::size_t i = 0; i < 5; ++i) {
      report::sample::Sample sample = report::sample::make(1, 1, 1, 20 + 10 * static_cast<int>(i));
      sample.report.loss.last = losses[i] + 1.0 / 3;
      const int code = i == 3 ? 4 : i == 4 ? 10 : 0;
      sample.report.exit = {i == 3 ? "loss, \"NaN\" <at> step 7" : "why it ended", code};
      const fs::path run = folder_ / "points" / points_.points[i].name;
      report::sample::write_run(run, sample);
      std::string reason = sample.report.exit.reason;
      for (auto at = reason.find('"'); at != std::string::npos; at = reason.find('"', at + 2))
        reason.insert(at, 1, '\\');
      io::write_file_atomically(run / "exit.json",
                                fmt::format("{{\"code\": {}, \"reason\": \"{}\"}}", code, reason));
    }
  }

  void write(const std::string& objective) {
    const plan::SweepDeck sweep = plan::read_sweep({"{\"deck\": \"deck.json\", " + objective + R"(,
          "axes": {"optimizer.params.lr": [0.001, 0.02, 0.3], "scheduler.type": [null, "WarmupLR"]}})",
                                                    "/nowhere/lr.json"});
    points_ = plan::expand(sweep, {kBase, "/nowhere/deck.json"}, {});
    plan::write_folder(folder_, sweep, points_);
  }

  fs::path folder_;
  plan::SweepPoints points_;
};

TEST_F(SweepTable, RanksWhatHasFinished) {
  const plan::SweepResults results = plan::read_results(folder_);
  ASSERT_EQ(results.points.size(), 6u);
  EXPECT_EQ(results.ranked(), (std::vector<std::size_t>{1, 2, 0}));
  EXPECT_EQ(results.points[1].objective, 1 + 1.0 / 3);
  EXPECT_EQ(results.points[4].rank, 0);  // lower, but interrupted
  EXPECT_EQ(results.count(PointState::finished), 3u);
  EXPECT_EQ(results.count(PointState::failed), 1u);
  EXPECT_EQ(results.count(PointState::interrupted), 1u);
  EXPECT_EQ(results.count(PointState::waiting), 1u);
  // The planted fault: the other way round.
  write(R"("objective": {"maximize": "loss.last"})");
  EXPECT_EQ(plan::read_results(folder_).ranked(), (std::vector<std::size_t>{0, 2, 1}));
  // By a number that grows with the run's length.
  write(R"("objective": {"maximize": "steps"})");
  EXPECT_EQ(plan::read_results(folder_).ranked(), (std::vector<std::size_t>{2, 1, 0}));
}

TEST_F(SweepTable, CsvAndHdf5HoldTheSameNumbersInFull) {
  const plan::SweepResults results = plan::read_results(folder_);
  const std::vector<plan::SweepColumn> columns = plan::columns_of(results);
  const auto lines = cells_of(plan::sweep_csv(columns));
  ASSERT_EQ(lines.size(), 7u);
  const fs::path file = folder_ / "sweep.h5";
  plan::write_sweep_hdf5(file, results, columns);
  plan::write_sweep_hdf5(file, results, columns);  // once more: replaced
  const io::Hdf5File stored(file.string(), io::Hdf5File::Mode::read);
  EXPECT_EQ(stored.string_attribute("/", "objective"), "loss.last");
  EXPECT_EQ(stored.int_attribute("/", "minimize"), 1);
  ASSERT_EQ(lines[0].size(), columns.size());
  EXPECT_EQ(stored.names("/points").size(), columns.size());
  std::string order;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const std::string& name = lines[0][c];
    order += (c == 0 ? "" : "\n") + name;
    if (std::holds_alternative<std::vector<std::string>>(columns[c].values)) {
      const auto texts = io::read_texts(stored, "/points/" + name);
      ASSERT_EQ(texts.size(), 6u);
      for (std::size_t row = 0; row < 6; ++row) EXPECT_EQ(texts[row], lines[row + 1][c]);
      continue;
    }
    std::vector<double> numbers(6);
    stored.read("/points/" + name, {Shape{0}, Shape{6}}, numbers.data(), DType::f64);
    for (std::size_t row = 0; row < 6; ++row) {
      const std::string& cell = lines[row + 1][c];
      if (std::isnan(numbers[row]))
        EXPECT_EQ(cell, "") << name;
      else
        EXPECT_EQ(std::stod(cell), numbers[row]) << name;
    }
  }
  EXPECT_EQ(stored.string_attribute("/points", "columns"), order);
  const auto cell = [&](std::size_t row, const std::string& column) {
    const auto at = std::find(lines[0].begin(), lines[0].end(), column) - lines[0].begin();
    return lines[row + 1][static_cast<std::size_t>(at)];
  };
  EXPECT_EQ(cell(3, "reason"), "loss, \"NaN\" <at> step 7");
  EXPECT_EQ(cell(3, "state"), "failed");
  EXPECT_EQ(cell(3, "exit_code"), "4");
  EXPECT_EQ(cell(5, "exit_code"), "");
  EXPECT_EQ(cell(2, "axis.optimizer.params.lr"), "0.02");
  EXPECT_EQ(cell(3, "axis.scheduler.type"), "WarmupLR");
  EXPECT_EQ(cell(1, "rank"), "1");
  EXPECT_EQ(std::stod(cell(1, "objective")), 1 + 1.0 / 3);
  EXPECT_EQ(cell(2, "steps"), "40");
}

TEST_F(SweepTable, ThePageShowsThemAndLinksTheRuns) {
  const plan::SweepResults results = plan::read_results(folder_);
  const std::string page = plan::sweep_page(results);
  for (std::size_t i = 0; i < 5; ++i) {
    const std::string& name = points_.points[i].name;
    EXPECT_TRUE(contains(page, "href=\"points/" + name + "/report.html\"")) << name;
    EXPECT_TRUE(fs::exists(folder_ / "points" / name / "report.html"));
  }
  for (const char* number : {">1.33333<", ">2.33333<", ">3.33333<"})
    EXPECT_TRUE(contains(page, number)) << number;
  EXPECT_TRUE(contains(page, "loss, &quot;NaN&quot; &lt;at&gt; step 7"));
  EXPECT_FALSE(contains(page, "<at>"));
  EXPECT_FALSE(contains(page, "<script") || contains(page, "http"));
  EXPECT_TRUE(contains(page, "3 points") && contains(page, "WarmupLR"));
  // A line a point that has come to something, the failed one dashed: counted by their tips.
  const auto count = [&](const std::string& part) {
    std::size_t found = 0;
    for (auto at = page.find(part); at != std::string::npos; at = page.find(part, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("<circle class=\"dot r1\""), 3u);  // two axes and the objective
  EXPECT_EQ(count("<circle class=\"dot lost\""), 2u);
  EXPECT_EQ(count("class=\"line lost\""), 1u);
  const std::string text = plan::sweep_text(results);
  EXPECT_TRUE(contains(text, "3 finished") && contains(text, "1 failed")) << text;
  EXPECT_TRUE(contains(text, "failed (exit code 4) " + points_.points[3].name)) << text;
}

TEST_F(SweepTable, WhatCannotBeReadIsSaid) {
  const fs::path run = folder_ / "points" / points_.points[0].name;
  io::write_file_atomically(run / report::kReportName, "{");
  const plan::SweepResults results = plan::read_results(folder_);
  EXPECT_EQ(results.unread.size(), 1u);
  EXPECT_EQ(results.ranked(), (std::vector<std::size_t>{1, 2}));
  EXPECT_TRUE(contains(plan::sweep_page(results), "Left out"));
}

TEST(SweepTexts, ReadBackAsWritten) {
  const fs::path file = report::sample::fresh_folder("texts") / "texts.h5";
  io::Hdf5File out(file.string(), io::Hdf5File::Mode::create);
  const std::vector<std::string> texts = {"", "three oars", "\xC3\xA4", "a\nb"};
  io::write_texts(out, "/texts", texts);
  io::write_texts(out, "/none", {});
  EXPECT_EQ(io::read_texts(out, "/texts"), texts);
  EXPECT_TRUE(io::read_texts(out, "/none").empty());
  EXPECT_NE(refusal([&] { io::write_texts(out, "/zero", {std::string("a\0b", 3)}); }), "");
  out.create_dataset("/numbers", DType::f64, Shape{2});
  for (const char* name : {"/numbers", "/missing"}) {
    try {
      io::read_texts(out, name);
      ADD_FAILURE() << "no error for " << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kFile);
    }
  }
}

}  // namespace
}  // namespace trireme::validation
