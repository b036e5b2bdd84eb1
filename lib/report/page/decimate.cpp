#include "lib/report/page/decimate.hpp"

#include <algorithm>
#include <array>
#include <cmath>

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
    // The window shrinks towards both ends, so that the curve starts and ends at its points.
    const std::size_t reach = std::min({width / 2, i, points.size() - 1 - i});
    const std::size_t begin = i - reach;
    const std::size_t end = i + reach + 1;
    const auto count = static_cast<double>(counts[end] - counts[begin]);
    smoothed.push_back({points[i].x, count > 0 ? (sums[end] - sums[begin]) / count : NAN});
  }
  return smoothed;
}

}  // namespace trireme::report
