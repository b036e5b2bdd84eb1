#include "lib/report/page/parallel_axes.hpp"

#include "kernels/base/error.hpp"
#include "lib/report/page/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace trireme::report {
namespace {

constexpr double kHead = 26;      // pixels above the axes, for their names
constexpr double kMargin = 0.04;  // of the breadth, left and right of the axes
constexpr std::size_t kFewValues = 7;
constexpr double kLogFactor = 20;

}  // namespace

std::string draw_parallel(const std::vector<ParallelAxis>& axes,
                          const std::vector<ParallelLine>& lines, double height) {
  check(axes.size() >= 2, Exit::kUnexpected, "expected at least two axes, found {}", axes.size());
  Svg svg(height, "Parallel coordinates");
  const double span = height - kHead;
  const auto across = [&](std::size_t axis) {
    return kMargin +
           (1 - 2 * kMargin) * static_cast<double>(axis) / static_cast<double>(axes.size() - 1);
  };
  const auto down = [&](double at) { return kHead + span * (1 - at); };

  for (std::size_t i = 0; i < axes.size(); ++i) svg.vertical(across(i), kHead, height, "axis");
  for (const ParallelLine& line : lines) {
    std::vector<Point> points;
    for (std::size_t i = 0; i < axes.size(); ++i)
      points.push_back({across(i), line.at[i] * span / height});
    svg.path(points, "line " + line.css);
  }
  for (const ParallelLine& line : lines)
    for (std::size_t i = 0; i < axes.size(); ++i)
      if (std::isfinite(line.at[i]))
        svg.dot(across(i), down(line.at[i]), 3.5, "dot " + line.css, line.tip);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    svg.text(across(i), 12, 0, axes[i].name, "name middle");
    const bool last = i + 1 == axes.size();
    for (const Tick& tick : axes[i].ticks)
      svg.text(across(i), down(tick.at) + 4, last ? 9 : -9, tick.label,
               last ? "tick start halo" : "tick end halo");
  }
  return svg.take();
}

Scale scale_of(const std::vector<double>& values) {
  double low = INFINITY;
  double high = -INFINITY;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > high) return Scale::linear(0, 1);
  return low > 0 && high >= kLogFactor * low ? Scale::logarithmic(low, high)
                                             : Scale::linear(low, high);
}

std::vector<Tick> ticks_of(const Scale& scale, const std::vector<double>& values) {
  std::set<double> distinct;
  for (const double value : values)
    if (std::isfinite(value)) distinct.insert(value);
  if (distinct.empty() || distinct.size() > kFewValues) return scale.ticks(5);
  std::vector<Tick> ticks;
  for (const double value : distinct) ticks.push_back({scale(value), fmt::format("{:.4g}", value)});
  return ticks;
}

}  // namespace trireme::report
