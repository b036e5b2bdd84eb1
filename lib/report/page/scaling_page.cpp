// A scaling study on one page: a figure a quantity, for strong and weak scaling, and what ran
// where.

#include "lib/report/format.hpp"
#include "lib/report/page/curves.hpp"
#include "lib/report/page/frame.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/table.hpp"
#include "lib/report/scaling.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace trireme::report {
namespace {

constexpr std::size_t kColours = 9;
constexpr double kMiB = 1024.0 * 1024;
constexpr double kWide = 8;  ///< a range beyond which an axis is logarithmic

/// One quantity over the ranks, a curve a grid.
struct Figure {
  const char* title;
  Unit unit;
  bool logarithmic;  ///< where the range is wide
  double (*value)(const ScalingPoint&);
  double (*ideal)(const ScalingPoint&);
};

double no_ideal(const ScalingPoint&) { return kUnknown; }

const Figure kFigures[] = {
    {"Step time",
     {1, " s"},
     true,
     [](const ScalingPoint& p) { return p.step.median; },
     [](const ScalingPoint& p) { return p.ideal_step; }},
    {"Tokens a second",
     {},
     true,
     [](const ScalingPoint& p) { return p.tokens_per_second; },
     [](const ScalingPoint& p) { return p.tokens_per_second / p.efficiency; }},
    {"Efficiency",
     {100, " %"},
     false,
     [](const ScalingPoint& p) { return p.efficiency; },
     [](const ScalingPoint&) { return 1.0; }},
    {"Waiting for other ranks",
     {100, " %"},
     false,
     [](const ScalingPoint& p) { return p.communication; },
     no_ideal},
    {"Bubble",
     {100, " %"},
     false,
     [](const ScalingPoint& p) { return p.bubble.measured; },
     no_ideal},
    {"Memory of the largest rank",
     {1, " MiB"},
     false,
     [](const ScalingPoint& p) { return p.memory / kMiB; },
     no_ideal}};

/// The measured points of a kind by grid, the colours of the grids, and the ranks there are.
struct Series {
  std::map<std::string, std::vector<const ScalingPoint*>> grids;
  std::vector<std::int64_t> ranks;

  Series(const Scaling& scaling, const std::string& kind) {
    for (const ScalingPoint& point : scaling.points) {
      if (point.plan.kind != kind || point.state != PointState::measured) continue;
      grids[grid_name(point.plan)].push_back(&point);
      ranks.push_back(point.plan.ranks);
    }
    std::sort(ranks.begin(), ranks.end());
    ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
    const auto fewer = [](const ScalingPoint* a, const ScalingPoint* b) {
      return a->plan.ranks < b->plan.ranks;
    };
    for (auto& [name, points] : grids) std::stable_sort(points.begin(), points.end(), fewer);
  }
};

std::string colour_of(std::size_t grid) { return fmt::format("c{}", 1 + grid % kColours); }

/// The ideal of each number of ranks, once.
std::vector<Sample> ideal_of(const Series& series, const Figure& figure) {
  std::map<std::int64_t, double> values;
  for (const auto& [name, points] : series.grids)
    for (const ScalingPoint* point : points)
      if (const double ideal = figure.ideal(*point); std::isfinite(ideal))
        values.emplace(point->plan.ranks, ideal);
  std::vector<Sample> samples;
  for (const auto& [ranks, value] : values) samples.push_back({ranks, value});
  return samples;
}

std::string draw_figure(const Series& series, const Figure& figure) {
  Extent extent;
  std::vector<Curve> curves;
  if (auto ideal = ideal_of(series, figure); !ideal.empty()) {
    extent.add(ideal);
    curves.push_back({.name = "", .css = "ideal", .samples = std::move(ideal)});
  }
  std::size_t grid = 0;
  for (const auto& [name, points] : series.grids) {
    Curve curve{.name = "", .css = colour_of(grid++), .samples = {}, .dots = true};
    for (const ScalingPoint* point : points)
      curve.samples.push_back({point->plan.ranks, figure.value(*point), point->oversubscribed});
    extent.add(curve.samples);
    curves.push_back(std::move(curve));
  }
  if (extent.empty() || (figure.logarithmic && !(extent.low > 0))) return "";
  const bool wide = figure.logarithmic && extent.high > kWide * extent.low;
  const auto first = static_cast<double>(series.ranks.front());
  const auto last = static_cast<double>(series.ranks.back());
  LineChart chart{.label = fmt::format("{} by ranks", figure.title),
                  .x = Scale::logarithmic(first, last),
                  .y = wide ? Scale::logarithmic(extent.low / 1.2, extent.high * 1.2)
                            : Scale::rounded(0, std::max(1.05 * extent.high, 1e-6), 4),
                  .y_unit = figure.unit};
  chart.height = 170;
  chart.y_ticks = 4;
  chart.curves = std::move(curves);
  chart.x_values = series.ranks;
  chart.x_name = "ranks";
  return fmt::format(
      "<figure class=\"small\"><figcaption><b>{}</b></figcaption><div class=\"box\">{}</div>"
      "</figure>",
      figure.title, draw(chart));
}

std::string legend(const Series& series) {
  std::string items;
  std::size_t grid = 0;
  for (const auto& [name, points] : series.grids)
    items += fmt::format("<li>{}</li>", chip(colour_of(grid++), name));
  return "<ul class=\"legend\">" + items + "<li>dashed: ideal</li></ul>";
}

std::string points_table(const Scaling& scaling, const std::string& kind) {
  using enum Table::Align;
  Table table({{"Ranks"},
               {"Nodes"},
               {"Grid", kText},
               {"Batch"},
               {"Step: best"},
               {"median"},
               {"Tokens/s"},
               {"Efficiency"},
               {"by ranks"},
               {"Waiting"},
               {"Bubble"},
               {"predicted"},
               {"Memory"}});
  for (const ScalingPoint& point : scaling.points) {
    const StudyPoint& plan = point.plan;
    if (plan.kind != kind || point.state != PointState::measured) continue;
    table.row({fmt::format("{}{}", plan.ranks, point.oversubscribed ? " ○" : ""),
               fmt::format("{}", plan.nodes),
               fmt::format("{} x {} x {}", plan.data, plan.tensor, plan.pipeline),
               fmt::format("{}", plan.batch), format_seconds(point.step.min),
               format_seconds(point.step.median), format_speed(point.tokens_per_second),
               format_share(point.efficiency), format_share(point.efficiency_by_ranks),
               format_share(point.communication), format_share(point.bubble.measured),
               format_share(point.bubble.predicted), format_bytes(point.memory)});
  }
  return table.take();
}

std::string kind_section(const Scaling& scaling, const std::string& kind) {
  const bool strong = kind == "strong";
  const Series series(scaling, kind);
  std::string html =
      fmt::format("<section class=\"runs\"><h2>{} scaling: {}</h2>", strong ? "Strong" : "Weak",
                  strong ? "the global batch stays" : "the samples a rank stay");
  const ScalingPoint* base = scaling.base(kind);
  if (base == nullptr) return html + "<p class=\"note bad\">No point was measured.</p></section>";
  html += legend(series) + "<div class=\"three\">";
  for (const Figure& figure : kFigures) html += draw_figure(series, figure);
  html += "</div>" + points_table(scaling, kind);
  return html +
         fmt::format(
             "<p class=\"note\">Ideal: the tokens/s of {} rank{} ({}), times the cores used over "
             "its cores used; by ranks: the same with ranks x threads. Grids are data x tensor x "
             "pipeline. Medians over the steady steps, all but the first.</p></section>",
             base->plan.ranks, base->plan.ranks == 1 ? "" : "s", escape(grid_name(base->plan)));
}

std::string missing_section(const Scaling& scaling) {
  using enum Table::Align;
  Table table(
      {{"Kind", kText}, {"Ranks"}, {"Grid", kText}, {"Batch"}, {"", kText}, {"Why", kText}});
  bool any = false;
  for (const ScalingPoint& point : scaling.points) {
    if (point.state == PointState::measured) continue;
    any = true;
    table.styled_row(
        {{point.plan.kind},
         {fmt::format("{}", point.plan.ranks)},
         {grid_name(point.plan)},
         {fmt::format("{}", point.plan.batch)},
         {std::string(name_of(point.state)), point.state == PointState::failed ? "bad" : ""},
         {point.reason, "long"}});
  }
  return any ? "<section><h2>Points without numbers</h2>" + table.take() + "</section>" : "";
}

std::string where_section(const Scaling& scaling) {
  const auto lines = where_measured(scaling);
  if (lines.empty()) return "";
  std::string items;
  for (const std::string& line : lines) items += "<li>" + escape(line) + "</li>";
  return "<section><h2>Measured where</h2><ul>" + items +
         "</ul><p class=\"note\">A ring (○) is a point with more threads than cores. Waiting is "
         "the share of the step in which a rank's compute waits for other ranks, mean over ranks, "
         "pipeline stages included; the bubble is the share in which compute lanes stand still "
         "between the first forward and the last backward of a step.</p></section>";
}

std::string header(const Scaling& scaling) {
  std::map<PointState, std::size_t> states;
  bool oversubscribed = false;
  for (const ScalingPoint& point : scaling.points) {
    ++states[point.state];
    oversubscribed = oversubscribed || point.oversubscribed;
  }
  std::string pills;
  for (const auto& [state, count] : states) {
    const char* css = state == PointState::measured ? "good"
                      : state == PointState::failed ? "bad"
                                                    : "fair";
    pills += pill(css, name_of(state), counted(count, "point"));
  }
  if (oversubscribed) pills += pill("fair", "oversubscribed", "in part");
  const Study& study = scaling.study;
  return page_header("trireme-report --scaling", study.deck + " on " + study.machine,
                     fmt::format("{}{}{} steps a point · planned {} · programs {}",
                                 study.description, study.description.empty() ? "" : " · ",
                                 study.steps, study.planned, fmt::join(scaling.commits, ", ")),
                     pills);
}

}  // namespace

std::string scaling_page(const Scaling& scaling) {
  std::string kinds;
  for (const std::string& kind : scaling.kinds()) kinds += kind_section(scaling, kind);
  return page_frame("Scaling of " + scaling.study.deck + " · Trireme",
                    {header(scaling), kinds, missing_section(scaling), where_section(scaling)},
                    "Made by trireme-report from report.json of the study's runs.");
}

}  // namespace trireme::report
