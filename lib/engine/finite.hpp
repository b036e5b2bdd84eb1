#pragma once
// The search for the first result that is no number, in the replay of a step that went wrong.

#include "lib/engine/context.hpp"

namespace trireme::engine {

/// Behind a segment's body: all that it wrote is finite, or Error(kNumbers) with its name. Waits
/// for the current stream where that is in device memory. `step` counts from 0.
void expect_finite(const models::Model& model, const program::Compiled& compiled,
                   const program::Instruction& segment, const SegmentContext& context,
                   std::int64_t step);

}  // namespace trireme::engine
