// Many runs on one page: the curves in one figure, the table, and what failed.

#include "lib/report/compare.hpp"
#include "lib/report/format.hpp"
#include "lib/report/page/curves.hpp"
#include "lib/report/page/frame.hpp"
#include "lib/report/page/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace trireme::report {
namespace {

constexpr std::size_t kColours = 12;

/// Colour of the run in this row of the table; beyond twelve all are grey.
std::string colour_of(std::size_t row) { return fmt::format("c{}", row < kColours ? row + 1 : 0); }

std::string header(std::span<const Run> runs, const SideBySide& table) {
  std::size_t early = 0;
  std::set<std::string> titles;
  for (const SideBySide::Row& row : table.rows) {
    early += runs[row.run].report.exit.code != 0;
    titles.insert(runs[row.run].report.title);
  }
  std::string pills;
  if (const std::size_t whole = table.rows.size() - early; whole > 0)
    pills += pill("good", "finished", counted(whole, "run"));
  if (early > 0) pills += pill("fair", "stopped early, can go on", counted(early, "run"));
  if (!table.failed.empty()) pills += pill("bad", "failed", counted(table.failed.size(), "run"));
  std::string about;
  for (const std::string& title : titles) about += (about.empty() ? "" : ", ") + title;
  return page_header("trireme-report", counted(runs.size(), "run"), about, pills);
}

/// One curve a run over steps, or over tokens where steps are of different sizes.
class LossFigure {
 public:
  LossFigure(std::span<const Run> runs, const SideBySide& table) {
    std::set<std::int64_t> batches;
    for (const Run& run : runs)
      if (run.reported) batches.insert(run.report.model.batch_tokens);
    by_tokens_ = batches.size() > 1;
    // The best run is drawn last, above the others; failed ones below all.
    for (const SideBySide::Row& row : table.failed) add(runs[row.run], "", "c0", true);
    for (std::size_t i = table.rows.size(); i-- > 0;)
      add(runs[table.rows[i].run], i < kColours ? fmt::format("{}", i + 1) : "", colour_of(i),
          i >= kColours);
  }

  std::string section() const {
    if (extent_.empty()) return "";
    return loss_section("Training loss", picture(false), picture(true),
                        fmt::format("Mean cross-entropy a token in nats, by {}; runs of more than "
                                    "200 steps smoothed over 1 % of them. Curves carry the numbers "
                                    "of the table's rows; failed runs are grey.",
                                    by_tokens_ ? "tokens trained on" : "optimizer step"));
  }

 private:
  void add(const Run& run, std::string name, std::string css, bool faint) {
    std::vector<Sample> samples;
    for (const io::StepRecord& step : run.log.steps)
      samples.push_back({by_tokens_ ? step.tokens : step.step, step.loss});
    if (samples.empty()) return;
    samples = smoothed(samples, samples.size() / 100);
    extent_.add(samples);
    first_ = std::min(first_, static_cast<double>(samples.front().step));
    last_ = std::max(last_, static_cast<double>(samples.back().step));
    Curve curve{.name = std::move(name), .css = std::move(css), .samples = std::move(samples)};
    curve.faint = faint;
    curves_.push_back(std::move(curve));
  }

  std::string picture(bool logarithmic) const {
    LineChart chart{.label = "Training loss of all runs",
                    .x = logarithmic ? Scale::logarithmic(std::max(first_, 1.0), last_)
                                     : Scale::linear(first_, last_),
                    .y = Scale::rounded(extent_.low, extent_.high)};
    chart.height = 320;
    chart.curves = curves_;
    return draw(chart);
  }

  bool by_tokens_ = false;
  double first_ = INFINITY;
  double last_ = 0;
  Extent extent_;
  std::vector<Curve> curves_;
};

std::string table_section(const SideBySide& table) {
  if (table.rows.empty()) return "";
  std::vector<Table::Column> columns;
  for (std::size_t i = 0; i < table.head.size(); ++i)
    columns.push_back({table.head[i], i == 0            ? Table::Align::kChip
                                      : i < table.texts ? Table::Align::kText
                                                        : Table::Align::kNumber});
  Table html(columns);
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    std::vector<Table::Cell> cells;
    for (const SideBySide::Cell& cell : table.rows[r].cells)
      cells.push_back({cell.best ? cell.text + " ★" : cell.text, cell.best ? "best" : ""});
    cells[0].text = chip(colour_of(r), fmt::format("{}  {}", r + 1, table.rows[r].cells[0].text));
    html.styled_row(cells);
  }
  return "<section class=\"runs\"><h2>Runs</h2>" + html.take() +
         "<p class=\"note\">★ the best of its column. Memory is that of the largest rank; times "
         "are of each run's last part. Columns behind the name are keys of the decks that are not "
         "the same in all runs; d x t x p are the ranks of the data, tensor and pipeline axes."
         "</p></section>";
}

std::string failed_section(const SideBySide& table) {
  if (table.failed.empty()) return "";
  std::vector<Table::Column> columns;
  for (const std::string& name : table.failed_head) columns.push_back({name, Table::Align::kText});
  Table html(columns);
  for (const SideBySide::Row& row : table.failed) {
    std::vector<Table::Cell> cells;
    for (const SideBySide::Cell& cell : row.cells) cells.push_back({cell.text});
    cells.back().css = "long";
    html.styled_row(cells);
  }
  return "<section><h2>Failed runs</h2>" + html.take() +
         "<p class=\"note\">Steps and loss are those of the last step in the log.</p></section>";
}

}  // namespace

std::string runs_page(std::span<const Run> runs, SortBy by) {
  const SideBySide table = side_by_side(runs, by);
  return page_frame(counted(runs.size(), "run") + " · Trireme",
                    {header(runs, table), LossFigure(runs, table).section(), table_section(table),
                     failed_section(table)},
                    "Made by trireme-report from report.json and log.jsonl of the run folders.");
}

}  // namespace trireme::report
