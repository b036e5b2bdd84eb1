// Many runs on one page: the curves in one figure, the table, and what failed.

#include "lib/report/compare.hpp"
#include "lib/report/format.hpp"
#include "lib/report/page/frame.hpp"
#include "lib/report/page/loss_figure.hpp"
#include "lib/report/page/table.hpp"

#include <fmt/format.h>

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

/// The best run is drawn last, above the others; failed ones below all.
std::string loss_figure(std::span<const Run> runs, const SideBySide& table) {
  LossFigure figure(runs);
  for (const SideBySide::Row& row : table.failed) figure.add(runs[row.run], "", "c0", true);
  for (std::size_t i = table.rows.size(); i-- > 0;)
    figure.add(runs[table.rows[i].run], i < kColours ? fmt::format("{}", i + 1) : "", colour_of(i),
               i >= kColours);
  return figure.section("Curves carry the numbers of the table's rows; failed runs are grey.");
}

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
  return page_frame(
      counted(runs.size(), "run") + " · Trireme",
      {header(runs, table), loss_figure(runs, table), table_section(table), failed_section(table)},
      "Made by trireme-report from report.json and log.jsonl of the run folders.");
}

}  // namespace trireme::report
