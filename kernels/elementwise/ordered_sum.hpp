#pragma once
// Sums over members in an order that nothing decides but their numbers: the device's part of a
// reduction between devices. (The host's is lib/comm/ordered_sum.hpp, with the same bits.)

#include "kernels/base/dtype.hpp"

#include <cstdint>

namespace trireme::kernels {

/// What each member brings to a sum, in device memory: `own` is member `index`'s; the others' lie
/// in `others`, one behind another in order without it, `stride` elements from each to the next.
struct MemberParts {
  const void* own = nullptr;
  const void* others = nullptr;
  std::int64_t stride = 0;
  int members = 1;
  int index = 0;
};

/// target[e] = ((x0[e] + x1[e]) + x2[e]) + ... for e < count, over members in order: f32, f64, or
/// bf16 and f16, which are widened to f32 and rounded once at the end. `target` may be `own`; it
/// overlaps nothing else. In the current stream.
void ordered_sum(const MemberParts& parts, void* target, std::int64_t count, DType dtype);

}  // namespace trireme::kernels
