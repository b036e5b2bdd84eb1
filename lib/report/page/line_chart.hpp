#pragma once
// Curves over steps.

#include "lib/report/page/scale.hpp"
#include "lib/report/page/svg.hpp"

#include <cstdint>
#include <optional>

namespace trireme::report {

/// A value at a step, before it has a place on the axes.
struct Sample {
  std::int64_t step = 0;
  double value = 0;
  bool open = false;  ///< drawn as a ring: it counts, but not like the others
};

struct Curve {
  std::string name;  ///< written at its right end; empty: nowhere
  std::string css;   ///< colour class
  std::vector<Sample> samples;
  bool dots = false;    ///< few points, each with a tip
  bool faint = false;   ///< the noise behind a smoothed curve
  bool filled = false;  ///< down to the x axis
};

/// A value worth comparing with, drawn across.
struct Reference {
  double low = 0;
  double high = 0;  ///< equal to low: a line, otherwise a band
  std::string name;
};

struct LineChart {
  std::string label;  ///< what it shows, for screen readers
  Scale x;
  Scale y;
  Unit y_unit = {};
  double height = 200;
  int x_ticks = 8;
  int y_ticks = 5;
  std::vector<Curve> curves = {};
  std::optional<Reference> reference = std::nullopt;
  std::vector<Sample> marks = {};  ///< steps at which the run resumed
  /// Values that the x axis labels; empty: about x_ticks round ones.
  std::vector<std::int64_t> x_values = {};
  std::string x_name = "step";  ///< what the tips of dots call x
};

/// Curves of thousands of steps are thinned without losing extremes; values above the axis are cut
/// at its top.
std::string draw(const LineChart& chart);

}  // namespace trireme::report
