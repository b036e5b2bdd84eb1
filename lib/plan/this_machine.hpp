#pragma once
// The machine that we run on, for work without a scheduler.

#include "lib/plan/machine.hpp"

namespace trireme::plan {

/// One node with the cores that this process may use and the memory that there is, scheduler
/// "none", one thread a rank. The launcher lets ranks be more than cores.
Machine this_machine();

}  // namespace trireme::plan
