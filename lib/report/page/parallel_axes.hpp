#pragma once
// Parallel coordinates (Inselberg, "The plane with parallel coordinates", The Visual Computer 1,
// 1985): an axis a quantity, a line a run, so that what good runs have in common shows.

#include "lib/report/page/scale.hpp"

#include <string>
#include <vector>

namespace trireme::report {

struct ParallelAxis {
  std::string name;
  std::vector<Tick> ticks;  ///< at: 0 is the foot of the axis, 1 its top
};

struct ParallelLine {
  std::vector<double> at;  ///< one an axis; NaN: the line does not reach that axis
  std::string css;         ///< class of its colour
  std::string tip;         ///< shows on pointing at one of its dots
};

/// Lines in the given order, later ones above earlier ones. At least two axes.
std::string draw_parallel(const std::vector<ParallelAxis>& axes,
                          const std::vector<ParallelLine>& lines, double height = 300);

/// Numbers on a linear axis, or a logarithmic one where all are positive and the largest is at
/// least twenty times the smallest; `values` may hold NaN.
Scale scale_of(const std::vector<double>& values);

/// Ticks where the values are, or at round values where there are many of them.
std::vector<Tick> ticks_of(const Scale& scale, const std::vector<double>& values);

}  // namespace trireme::report
