#pragma once
// The training losses of several runs in one figure.

#include "lib/report/page/curves.hpp"
#include "lib/report/runs.hpp"

namespace trireme::report {

/// Curves over steps, or over tokens where the runs' steps are of different sizes. Runs of more
/// than 200 steps are smoothed over 1 % of them.
class LossFigure {
 public:
  explicit LossFigure(std::span<const Run> runs);

  /// Later curves lie above earlier ones. `name` stands at the right end (empty: nowhere), `css` is
  /// a class of colour, `faint` for what is only the background.
  void add(const Run& run, std::string name, std::string css, bool faint);

  /// A section of a page with a linear and a logarithmic picture; empty without any loss. `note`
  /// (HTML) follows what the figure says of itself.
  std::string section(const std::string& note) const;

 private:
  std::string picture(bool logarithmic) const;

  bool by_tokens_ = false;
  double first_ = INFINITY;
  double last_ = 0;
  Extent extent_;
  std::vector<Curve> curves_;
};

}  // namespace trireme::report
