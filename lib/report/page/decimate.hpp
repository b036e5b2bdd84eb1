#pragma once
// Fewer points that draw the same picture.

#include <vector>

namespace trireme::report {

/// On axes that run from 0 to 1; x grows along a series. A y of NaN breaks the line.
struct Point {
  double x = 0;
  double y = 0;
};

/// Keeps of each of `columns` equal columns the first, lowest, highest and last point and every
/// break, in their order, so that no extreme of the series is lost. At most 4 points (and one
/// break) a column; a series that is no longer than that is returned as it is.
std::vector<Point> decimate(const std::vector<Point>& points, int columns);

/// Mean over a centred window of `width` points, NaNs left out; a break where all are. The window
/// shrinks to the first point at the start, where curves fall steeply, and is cut at the end.
std::vector<Point> smooth(const std::vector<Point>& points, std::size_t width);

/// Median over such a window, which stalls of a few points do not move, at about `count` points.
std::vector<Point> running_median(const std::vector<Point>& points, std::size_t width,
                                  std::size_t count);

}  // namespace trireme::report
