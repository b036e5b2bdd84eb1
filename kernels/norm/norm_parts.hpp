#pragma once
// The parts in which device kernels sum the gradients of gamma and beta. Private to kernels/norm.

#include "kernels/base/checked.hpp"

#include <algorithm>
#include <cstdint>

namespace trireme::kernels {

/// Of `items` rows and groups: partial sums take a few MiB at most, whatever the group, and a part
/// is at least 8 items.
struct DeviceNormParts {
  DeviceNormParts(std::int64_t items, std::int64_t group)
      : size(std::max<std::int64_t>(
            8, divide_up(items, std::max<std::int64_t>(512, (1 << 20) / group)))),
        count(divide_up(items, size)) {}
  std::int64_t size;
  std::int64_t count;
};

}  // namespace trireme::kernels
