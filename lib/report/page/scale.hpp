#pragma once
// From values to places on an axis, and the round values worth a label.

#include <string>
#include <vector>

namespace trireme::report {

/// One place on an axis: 0 is its start, 1 its end.
struct Tick {
  double at = 0;
  std::string label;
};

/// How the numbers of an axis read: a tick's label is value x factor and the suffix.
struct Unit {
  double factor = 1;
  std::string suffix;  ///< " ms", " %", "k"
};

class Scale {
 public:
  /// An axis from `low` to `high`; equal ends are pushed apart. Both finite.
  static Scale linear(double low, double high);
  /// The same by logarithm, low > 0.
  static Scale logarithmic(double low, double high);
  /// Linear, with both ends moved outward to round values.
  static Scale rounded(double low, double high, int about_ticks = 5);

  /// Below 0 or above 1 for values outside.
  double operator()(double value) const;

  /// About `count` round values inside, 1, 2 or 5 times a power of ten apart (linear) or powers of
  /// ten and, when these are few, their doubles and fives (logarithmic).
  std::vector<Tick> ticks(int count, const Unit& unit = {}) const;

  double low() const { return low_; }
  double high() const { return high_; }

 private:
  Scale(double low, double high, bool log) : low_(low), high_(high), log_(log) {}
  double low_;
  double high_;
  bool log_;
};

}  // namespace trireme::report
