#include "kernels/elementwise/ordered_sum.hpp"

#include "kernels/device_kernels.hpp"

namespace trireme::kernels {

void ordered_sum(const MemberParts& parts, void* target, std::int64_t count, DType dtype) {
  check(is_floating(dtype), Exit::kUnexpected, "ordered_sum of {}", name_of(dtype));
  check(parts.index >= 0 && parts.index < parts.members, Exit::kUnexpected,
        "ordered_sum by member {} of {}", parts.index, parts.members);
  if (count > 0) device_kernels().ordered_sum(parts, target, count, dtype);
}

}  // namespace trireme::kernels
