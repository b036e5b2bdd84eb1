#pragma once
// One step of 1F1B played through on paper: every time follows from the waits.

#include "lib/report/run_report.hpp"

namespace trireme::report::sample {

Timeline make_timeline(const Grid& grid, int world_size, std::int64_t step);

}  // namespace trireme::report::sample
