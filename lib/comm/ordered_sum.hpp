#pragma once
// The one sum behind every reduction.

#include "kernels/base/dtype.hpp"

#include <cstdint>
#include <span>

namespace trireme::comm {

/// For each element e < count: s = ((source[0][e] + source[1][e]) + ...), in f32 (f64 for f64;
/// 16-bit types are widened and the sum is rounded once), written to every target. All pointers are
/// to `count` elements of `dtype` (f32, f64, bf16, f16; exit 1 otherwise). A target may be one of
/// the sources; partial overlap is not allowed.
void ordered_sum(std::span<const void* const> sources, std::span<void* const> targets,
                 std::int64_t count, DType dtype);

}  // namespace trireme::comm
