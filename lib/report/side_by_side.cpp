// Several runs as a table for people.

#include "lib/report/compare.hpp"
#include "lib/report/format.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace trireme::report {
namespace {

std::string grid_of(const RunReport& report) {
  return fmt::format("{}x{}x{}", report.grid.data, report.grid.tensor, report.grid.pipeline);
}

std::string model_of(const RunReport& report) {
  return fmt::format("{} {} {}", report.model.family,
                     format_count(static_cast<double>(report.model.parameters)), report.dtype);
}

/// A number that a column shows, and which of two is better.
struct Measure {
  const char* name;
  double (*value)(const RunReport&);
  std::string (*text)(double);
  bool low_is_good;
};

constexpr Measure kMeasures[] = {
    {"loss", [](const RunReport& r) { return r.loss.last; },
     [](double x) { return format_number(x, 4); }, true},
    {"validation", [](const RunReport& r) { return r.loss.validation; },
     [](double x) { return format_number(x, 4); }, true},
    {"tokens/s", [](const RunReport& r) { return r.tokens_per_second; }, format_speed, false},
    {"MFU", [](const RunReport& r) { return r.mfu; }, format_share, false},
    {"memory", [](const RunReport& r) { return largest_rank(r).used; }, format_bytes, true},
    {"wall time", [](const RunReport& r) { return r.seconds; }, format_seconds, true}};

/// Small is first.
double sort_value(const RunReport& report, SortBy by, bool all_validated) {
  switch (by) {
    case SortBy::loss: return all_validated ? report.loss.validation : report.loss.last;
    case SortBy::speed: return -report.tokens_per_second;
    case SortBy::memory: return largest_rank(report).used;
    case SortBy::time: return report.seconds;
    case SortBy::name: break;
  }
  return 0;
}

std::vector<std::size_t> order_of(std::span<const Run> runs, SortBy by) {
  std::vector<std::size_t> order(runs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const bool all_validated = std::all_of(runs.begin(), runs.end(), [](const Run& run) {
    return failed(run) || std::isfinite(run.report.loss.validation);
  });
  const auto value = [&](std::size_t i) {
    const double found = sort_value(runs[i].report, by, all_validated);
    return std::isnan(found) ? INFINITY : found;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return runs[a].name < runs[b].name; });
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return value(a) < value(b); });
  return order;
}

/// Marks the best cells of column `at`, unless all runs are alike in it.
void mark_best(SideBySide& table, std::span<const Run> runs, std::size_t at, const Measure& m) {
  double best = NAN;
  double worst = NAN;
  for (const SideBySide::Row& row : table.rows) {
    const double value =
        m.low_is_good ? m.value(runs[row.run].report) : -m.value(runs[row.run].report);
    best = std::fmin(best, value);
    worst = std::fmax(worst, value);
  }
  if (!(best < worst)) return;
  for (SideBySide::Row& row : table.rows) {
    const double value = m.value(runs[row.run].report);
    row.cells[at].best = (m.low_is_good ? value : -value) == best;
  }
}

std::string lines_of(const std::vector<std::string>& head, std::size_t texts,
                     const std::vector<SideBySide::Row>& rows) {
  const auto shown = [](const SideBySide::Cell& cell) {
    return cell.text + (cell.best ? "*" : "");
  };
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < head.size(); ++i) {
    widths.push_back(head[i].size());
    for (const auto& row : rows) widths[i] = std::max(widths[i], shown(row.cells[i]).size());
  }
  std::string text;
  const auto cell = [&](std::size_t i, const std::string& value) {
    const bool last = i + 1 == head.size();
    if (i < texts && last)
      text += value;
    else
      text += i < texts ? fmt::format("{:<{}}", value, widths[i])
                        : fmt::format("{:>{}}", value, widths[i]);
    text += last ? "\n" : "  ";
  };
  for (std::size_t i = 0; i < head.size(); ++i) cell(i, head[i]);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < head.size(); ++i) cell(i, shown(row.cells[i]));
  return text;
}

}  // namespace

SideBySide side_by_side(std::span<const Run> runs, SortBy by) {
  const std::vector<std::string> names = short_names(runs);
  const std::vector<DeckColumn> decks = deck_columns(runs);
  std::set<std::string> models;
  for (const Run& run : runs)
    if (run.reported) models.insert(model_of(run.report));
  const bool one_model = models.size() <= 1;
  SideBySide table;
  table.head = {"run"};
  if (!one_model) table.head.emplace_back("model");
  for (const DeckColumn& column : decks) table.head.push_back(column.name);
  table.head.emplace_back("d x t x p");
  table.texts = table.head.size();
  table.failed_head = table.head;
  for (const char* name : {"steps", "loss", "exit", "reason"}) table.failed_head.emplace_back(name);
  for (const char* name : {"ranks", "steps"}) table.head.emplace_back(name);
  const std::size_t measures = table.head.size();
  for (const Measure& measure : kMeasures) table.head.emplace_back(measure.name);
  table.head.emplace_back("exit");

  for (const std::size_t i : order_of(runs, by)) {
    const RunReport& report = runs[i].report;
    SideBySide::Row row{i, {{names[i]}}};
    const auto add = [&](std::string text) { row.cells.push_back({std::move(text)}); };
    if (!one_model) add(runs[i].reported ? model_of(report) : "-");
    for (const DeckColumn& column : decks) add(column.values[i]);
    add(grid_of(report));
    if (!failed(runs[i])) add(fmt::format("{}", report.world_size));
    add(format_integer(report.steps));
    if (failed(runs[i])) {
      add(format_number(report.loss.last, 4));
      add(fmt::format("{}", report.exit.code));
      add(report.exit.reason);
      table.failed.push_back(std::move(row));
      continue;
    }
    for (const Measure& measure : kMeasures) add(measure.text(measure.value(report)));
    add(fmt::format("{}", report.exit.code));
    table.rows.push_back(std::move(row));
  }
  for (std::size_t k = 0; k < std::size(kMeasures); ++k)
    mark_best(table, runs, measures + k, kMeasures[k]);
  std::stable_sort(table.failed.begin(), table.failed.end(), [&](const auto& a, const auto& b) {
    return runs[a.run].name < runs[b.run].name;
  });
  return table;
}

std::string runs_table(std::span<const Run> runs, SortBy by) {
  const SideBySide table = side_by_side(runs, by);
  std::string text;
  if (!table.rows.empty()) text = lines_of(table.head, table.texts, table.rows);
  if (table.failed.empty()) return text;
  text += fmt::format("{}failed:\n", text.empty() ? "" : "\n");
  return text + lines_of(table.failed_head, table.failed_head.size(), table.failed);
}

}  // namespace trireme::report
