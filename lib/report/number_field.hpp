#pragma once
// Single numbers of a report by the path they have in report.json.

#include "lib/report/run_report.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace trireme::report {

/// "loss.last", "tokens_per_second", "step_seconds.median", ...: all numbers that stand alone, in
/// the file's order, and "largest_rank.used" and "largest_rank.planned", the memory of the rank
/// that needs most, in bytes.
std::vector<std::string> number_fields();

/// NaN where the run does not know it. Exit::kUsage for a path that is none of number_fields().
double number_field(const RunReport& report, std::string_view path);

}  // namespace trireme::report
