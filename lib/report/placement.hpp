#pragma once
// Where ranks really run: nodes of a test cluster, and containers, may share one machine.

#include "lib/comm/world.hpp"

#include <cstdint>

namespace trireme::report {

struct Placement {
  std::int64_t machines = 0;  ///< running kernels (boot ids) under all ranks
  /// Hardware threads of all machines together on which at least one thread of a rank may run; 0:
  /// not known.
  std::int64_t cores = 0;
};

/// Called by all ranks; the answer is rank 0's, others get zeros.
Placement placement_of(const comm::World& world);

}  // namespace trireme::report
