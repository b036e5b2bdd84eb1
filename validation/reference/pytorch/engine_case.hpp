#pragma once
// A reference case by the engine, on the test's device.

#include "lib/comm/world.hpp"
#include "validation/reference/pytorch/cases.hpp"

namespace trireme::validation {

/// What run_case() makes, on a world of one rank; without logits, which the engine does not keep.
ReferenceResult run_case_by_engine(const comm::World& world, const ReferenceCase& reference);

}  // namespace trireme::validation
