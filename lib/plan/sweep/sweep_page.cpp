// A sweep as one page: what good points have in common, which they are, how they learned, and why
// others did not come to an end.

#include "lib/plan/sweep/axis_values.hpp"
#include "lib/plan/sweep/sweep_table.hpp"
#include "lib/report/format.hpp"
#include "lib/report/page/frame.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/loss_figure.hpp"
#include "lib/report/page/parallel_axes.hpp"
#include "lib/report/page/table.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace trireme::plan {
namespace {

using report::Table;

constexpr std::size_t kColoured = 6;  // curves told apart by colour
constexpr std::size_t kRows = 200;    // of the table of points
constexpr double kHeight = 330;

std::string shown(const deck::Value& value) {
  return value.text() ? *value.text() : deck::to_json(value);
}

/// The last parts of the keys, whole keys where these are the same.
std::vector<std::string> short_keys(const std::vector<std::string>& keys) {
  std::map<std::string_view, int> parts;
  for (const std::string& key : keys) ++parts[deck::split_path(key).back()];
  std::vector<std::string> names;
  for (const std::string& key : keys) {
    const std::string_view last = deck::split_path(key).back();
    names.emplace_back(parts[last] == 1 ? last : std::string_view(key));
  }
  return names;
}

/// The best in its own colour, the others by quarter.
std::string rank_class(int rank, std::size_t ranks) {
  if (rank == 1) return "r1";
  const std::size_t quarter =
      4 * static_cast<std::size_t>(rank - 1) / std::max<std::size_t>(ranks, 1);
  return fmt::format("r{}", 2 + std::min<std::size_t>(quarter, 3));
}

bool lost(const PointResult& one) {
  return one.status.state == PointState::failed || one.status.state == PointState::refused;
}

std::string header(const SweepResults& results) {
  constexpr std::array<std::pair<PointState, const char*>, 6> kPills = {
      {{PointState::finished, "good"},
       {PointState::interrupted, "fair"},
       {PointState::running, "fair"},
       {PointState::waiting, "fair"},
       {PointState::failed, "bad"},
       {PointState::refused, "bad"}}};
  std::string pills;
  for (const auto& [state, css] : kPills)
    if (const std::size_t count = results.count(state); count > 0)
      pills += report::pill(css, name_of(state), report::counted(count, "point"));
  const Objective& objective = results.record.objective;
  return report::page_header(
      "sweep", results.record.file.stem().string(),
      fmt::format("{} of {} · {} {}", report::counted(results.points.size(), "point"),
                  results.record.base.filename().string(),
                  objective.minimize ? "lowest" : "highest", objective.field),
      pills);
}

/// Where the values of one axis lie on it: numbers on a scale, texts evenly spaced.
class AxisPlaces {
 public:
  AxisPlaces(const SweepResults& results, std::size_t axis) {
    std::vector<double> numbers;
    std::vector<std::string> texts;
    for (const PointResult& one : results.points) {
      const deck::Value& value = one.point.values[axis];
      if (const auto number = number_in(value)) numbers.push_back(*number);
      if (std::find(texts.begin(), texts.end(), shown(value)) == texts.end())
        texts.push_back(shown(value));
    }
    if (numbers.size() == results.points.size()) {
      scale_ = report::scale_of(numbers);
      ticks = report::ticks_of(*scale_, numbers);
      return;
    }
    for (std::size_t i = 0; i < texts.size(); ++i)
      ticks.push_back(
          {(static_cast<double>(i) + 0.5) / static_cast<double>(texts.size()), texts[i]});
  }

  double operator()(const deck::Value& value) const {
    if (scale_) return (*scale_)(*number_in(value));
    const auto found = std::find_if(ticks.begin(), ticks.end(), [&](const report::Tick& tick) {
      return tick.label == shown(value);
    });
    return found->at;
  }

  std::vector<report::Tick> ticks;

 private:
  std::optional<report::Scale> scale_;
};

std::string parallel_section(const SweepResults& results) {
  const SweepRecord& record = results.record;
  const std::vector<std::size_t> order = results.ranked();
  std::vector<double> objectives;
  for (const std::size_t i : order) objectives.push_back(results.points[i].objective);
  const report::Scale scale = report::scale_of(objectives);

  const std::vector<std::string> names = short_keys(record.keys);
  std::vector<report::ParallelAxis> axes;
  std::vector<AxisPlaces> places;
  for (std::size_t i = 0; i < record.keys.size(); ++i) {
    places.emplace_back(results, i);
    axes.push_back({names[i], places.back().ticks});
  }
  axes.push_back(
      {record.objective.field, objectives.empty() ? std::vector<report::Tick>{} : scale.ticks(5)});
  std::vector<report::ParallelLine> lines;
  const auto add = [&](const PointResult& one, std::string css) {
    report::ParallelLine line{{}, std::move(css), one.point.name};
    for (std::size_t i = 0; i < places.size(); ++i)
      line.at.push_back(places[i](one.point.values[i]));
    line.at.push_back(one.rank > 0 ? scale(one.objective) : NAN);
    line.tip += one.rank > 0 ? fmt::format(": {:.6g}", one.objective)
                             : fmt::format(": {}", name_of(one.status.state));
    lines.push_back(std::move(line));
  };
  for (const PointResult& one : results.points)
    if (lost(one)) add(one, "lost");
  for (std::size_t i = order.size(); i-- > 0;)
    add(results.points[order[i]], rank_class(results.points[order[i]].rank, order.size()));
  return "<section><h2>What good points have in common</h2><ul class=\"legend\"><li><i "
         "class=\"r1\"></i>best</li><li><i class=\"r5\"></i>worst quarter</li><li><i "
         "class=\"lost\"></i>failed or refused</li></ul><div class=\"box\">" +
         report::draw_parallel(axes, lines, kHeight) +
         "</div><p class=\"note\">A line a point: through its values, an axis a key of the deck, "
         "to what it came to. Axes are logarithmic where the largest value is at least twenty "
         "times the smallest. Points that wait, run or were interrupted are left "
         "out.</p></section>";
}

/// A point by the end of its name, its values stand beside it; to its run's page where there is
/// one.
std::string link_to(const PointResult& one) {
  const std::string& name = one.point.name;
  const std::string shortened = name.substr(name.size() - std::min(name.size(), kHashDigits));
  return one.has_page ? report::link(fmt::format("{}/{}/report.html", kPointsName, name), shortened)
                      : report::escape(shortened);
}

std::string best_section(const SweepResults& results) {
  const std::vector<std::size_t> order = results.ranked();
  if (order.empty()) return "";
  std::vector<Table::Column> columns = {{"point", Table::Align::kChip}};
  for (const std::string& name : short_keys(results.record.keys))
    columns.push_back({name, Table::Align::kNumber});
  const std::string& field = results.record.objective.field;
  const bool validation = field != "loss.validation";
  columns.push_back({field, Table::Align::kNumber});
  if (validation) columns.push_back({"validation", Table::Align::kNumber});
  for (const char* name : {"tokens/s", "memory", "wall time"})
    columns.push_back({name, Table::Align::kNumber});
  Table table(columns);
  for (std::size_t i = 0; i < std::min(order.size(), kRows); ++i) {
    const PointResult& one = results.points[order[i]];
    const report::RunReport& run = one.run->report;
    std::vector<Table::Cell> cells = {
        {report::chip(i < kColoured ? fmt::format("c{}", i + 1) : "c0",
                      fmt::format("{} ", one.rank)) +
         link_to(one)}};
    for (const deck::Value& value : one.point.values) cells.push_back({shown(value)});
    cells.push_back({fmt::format("{:.6g}", one.objective), i == 0 ? "best" : ""});
    if (validation) cells.push_back({report::format_number(run.loss.validation, 4)});
    cells.push_back({report::format_speed(run.tokens_per_second)});
    cells.push_back({report::format_bytes(report::largest_rank(run).used)});
    cells.push_back({report::format_seconds(run.seconds)});
    table.styled_row(cells);
  }
  const std::string more =
      order.size() > kRows ? fmt::format("The first {} of {}. ", kRows, order.size()) : "";
  return "<section class=\"runs\"><h2>Best points</h2>" + table.take() + "<p class=\"note\">" +
         more +
         "Points are called by the last digits of their names and lead to the pages of their runs. "
         "All numbers: sweep.csv, sweep.h5.</p></section>";
}

std::string loss_section(const SweepResults& results) {
  std::vector<report::Run> runs;
  for (const PointResult& one : results.points)
    if (one.run) runs.push_back(*one.run);
  report::LossFigure figure(runs);
  for (const PointResult& one : results.points)
    if (one.run && one.rank == 0) figure.add(*one.run, "", "c0", true);
  const std::vector<std::size_t> order = results.ranked();
  for (std::size_t i = order.size(); i-- > 0;) {
    const bool coloured = i < kColoured;
    figure.add(*results.points[order[i]].run, coloured ? fmt::format("{}", i + 1) : "",
               coloured ? fmt::format("c{}", i + 1) : "c0", !coloured);
  }
  return figure.section(
      fmt::format("Curves carry the ranks of the best {} points; the others are "
                  "grey.",
                  std::min(order.size(), kColoured)));
}

/// Points that did not come to an end, by state.
std::string open_section(const SweepResults& results) {
  std::vector<Table::Column> columns = {{"point", Table::Align::kChip},
                                        {"state", Table::Align::kText}};
  for (const std::string& name : short_keys(results.record.keys))
    columns.push_back({name, Table::Align::kNumber});
  columns.push_back({"exit code", Table::Align::kNumber});
  columns.push_back({"reason", Table::Align::kText});
  Table table(columns);
  bool any = false;
  for (const PointState state : {PointState::failed, PointState::refused, PointState::interrupted,
                                 PointState::running, PointState::waiting}) {
    for (const PointResult& one : results.points) {
      if (one.status.state != state) continue;
      any = true;
      const bool ended = state != PointState::running && state != PointState::waiting;
      std::vector<Table::Cell> cells = {{link_to(one)},
                                        {std::string(name_of(state)), lost(one) ? "bad" : "fair"}};
      for (const deck::Value& value : one.point.values) cells.push_back({shown(value)});
      cells.push_back({ended ? fmt::format("{}", one.status.code) : "-"});
      cells.push_back({one.status.reason, "long"});
      table.styled_row(cells);
    }
  }
  if (!any) return "";
  return "<section><h2>Points without a result</h2>" + table.take() +
         "<p class=\"note\">Submitting the sweep again runs all of these but the refused ones; "
         "interrupted ones go on from their checkpoints.</p></section>";
}

}  // namespace

std::string sweep_page(const SweepResults& results) {
  std::string unread;
  for (const std::string& text : results.unread) unread += "<li>" + report::escape(text) + "</li>";
  if (!unread.empty())
    unread = "<section class=\"warnings\"><h2>Left out</h2><ul>" + unread + "</ul></section>";
  return report::page_frame(
      results.record.file.stem().string() + " · sweep · Trireme",
      {header(results), unread, parallel_section(results), best_section(results),
       loss_section(results), open_section(results)},
      "Made by trireme-report --sweep from sweep.json and the run folders of the points.");
}

}  // namespace trireme::plan
