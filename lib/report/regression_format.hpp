#pragma once
// How findings read, in text and on the page alike.

#include "lib/report/regression.hpp"

#include <cmath>

namespace trireme::report {

std::string number_text(Quantity quantity, double value);
/// "2,431, 2,398 (3)": best, median and how many; one number of one run.
std::string pool_text(const Finding& finding, const Pool& pool);
std::string change_text(const Finding& finding);  ///< "-12.31 %"
/// One line with everything.
std::string finding_text(const CaseResult& one, const Finding& finding);

struct Tally {
  std::size_t judged = 0;
  std::size_t worse = 0;  ///< findings and failures
  std::size_t better = 0;
};
Tally tally_of(const Comparison& comparison);

}  // namespace trireme::report
