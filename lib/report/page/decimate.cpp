#include "lib/report/page/decimate.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace trireme::report {
namespace {

/// First, lowest, highest, last and first break of points [begin, end), each once, in order.
void keep_of_column(const std::vector<Point>& points, std::size_t begin, std::size_t end,
                    std::vector<Point>& kept) {
  std::array<std::size_t, 5> keep = {begin, begin, begin, end - 1, begin};
  for (std::size_t i = begin; i < end; ++i) {
    const double y = points[i].y;
    if (std::isnan(y)) {
      if (!std::isnan(points[keep[4]].y)) keep[4] = i;
      continue;
    }
    if (!(points[keep[1]].y <= y)) keep[1] = i;
    if (!(points[keep[2]].y >= y)) keep[2] = i;
  }
  std::sort(keep.begin(), keep.end());
  const auto last = std::unique(keep.begin(), keep.end());
  for (auto at = keep.begin(); at != last; ++at) kept.push_back(points[*at]);
}

/// Half-open range of the window around point `i` of `count`.
std::pair<std::size_t, std::size_t> window_at(std::size_t i, std::size_t width, std::size_t count) {
  const std::size_t reach = std::min(width / 2, i);
  return {i - reach, std::min(i + reach + 1, count)};
}

}  // namespace

std::vector<Point> decimate(const std::vector<Point>& points, int columns) {
  if (points.size() <= 4 * static_cast<std::size_t>(columns)) return points;
  const auto column = [&](const Point& point) {
    return std::clamp(static_cast<int>(point.x * columns), 0, columns - 1);
  };
  std::vector<Point> kept;
  for (std::size_t begin = 0; begin < points.size();) {
    std::size_t end = begin + 1;
    while (end < points.size() && column(points[end]) == column(points[begin])) ++end;
    keep_of_column(points, begin, end, kept);
    begin = end;
  }
  return kept;
}

std::vector<Point> smooth(const std::vector<Point>& points, std::size_t width) {
  std::vector<double> sums(points.size() + 1, 0);
  std::vector<std::size_t> counts(points.size() + 1, 0);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const bool known = std::isfinite(points[i].y);
    sums[i + 1] = sums[i] + (known ? points[i].y : 0);
    counts[i + 1] = counts[i] + (known ? 1 : 0);
  }
  std::vector<Point> smoothed;
  smoothed.reserve(points.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto [begin, end] = window_at(i, width, points.size());
    const auto count = static_cast<double>(counts[end] - counts[begin]);
    smoothed.push_back({points[i].x, count > 0 ? (sums[end] - sums[begin]) / count : NAN});
  }
  return smoothed;
}

std::vector<Point> running_median(const std::vector<Point>& points, std::size_t width,
                                  std::size_t count) {
  std::vector<Point> medians;
  std::vector<double> values;
  const std::size_t stride =
      std::max<std::size_t>(1, points.size() / std::max<std::size_t>(1, count));
  for (std::size_t i = 0; i < points.size(); i += stride) {
    const auto [begin, end] = window_at(i, width, points.size());
    values.clear();
    for (std::size_t k = begin; k < end; ++k) {
      if (std::isfinite(points[k].y)) values.push_back(points[k].y);
    }
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    medians.push_back({points[i].x, values.empty() ? NAN : *middle});
  }
  return medians;
}

}  // namespace trireme::report
