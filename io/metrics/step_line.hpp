#pragma once
// The line of a step, formatted without touching the heap (steady-state steps allocate nothing).

#include "io/metrics/log_records.hpp"

#include <array>
#include <string_view>

namespace trireme::io {

/// Two integers of at most 20 characters, seven doubles of at most 24, and the keys: under 340;
/// one place is left for the line's end.
using StepLine = std::array<char, 512>;

/// Formats into `line` and returns the part that was written.
std::string_view format_step(const StepRecord& record, StepLine& line);

}  // namespace trireme::io
