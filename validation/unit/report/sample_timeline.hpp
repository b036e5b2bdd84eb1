#pragma once
// One step of 1F1B played through on paper: every time follows from the waits.

#include "lib/report/run_report.hpp"

namespace trireme::report::sample {

Timeline make_timeline(const Grid& grid, int world_size, std::int64_t step);

/// Share of the step in which the compute lanes of the timeline's ranks wait.
double bubble_of(const Timeline& timeline);

}  // namespace trireme::report::sample
