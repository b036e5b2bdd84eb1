#pragma once
// From the records of a log to the curves of a chart.

#include "lib/report/page/line_chart.hpp"

#include <cmath>
#include <string>
#include <vector>

namespace trireme::report {

template <class Record>
std::vector<Sample> samples_of(const std::vector<Record>& records, double Record::*member) {
  std::vector<Sample> samples;
  samples.reserve(records.size());
  for (const Record& record : records) samples.push_back({record.step, record.*member});
  return samples;
}

/// Lowest and highest finite value so far.
struct Extent {
  double low = INFINITY;
  double high = -INFINITY;
  bool empty() const { return !(low <= high); }
  void add(const std::vector<Sample>& samples);
};

/// Mean over a centred window of `window` samples, where that is more than two.
std::vector<Sample> smoothed(const std::vector<Sample>& samples, std::size_t window);

/// A section with two pictures of the loss, steps linear and logarithmic, and the switch between
/// them: radio buttons and CSS, the page needs no script.
std::string loss_section(const std::string& title, const std::string& linear,
                         const std::string& logarithmic, const std::string& note);

}  // namespace trireme::report
