#pragma once
// One call for the law that every kernel obeys: the same bits serially, on the OpenMP team, and
// with 1, 2 and 4 threads; on a device (whose bits are its own), at every call.

#include "validation/harness/device_fixture.hpp"

#include <cstring>
#include <vector>

namespace trireme::validation {

/// Runs make() in every way, expects equal bits, returns them.
template <class Make>
std::vector<double> in_every_way(const Make& make) {
  std::vector<double> first;
  for (const Way& way : ways()) {
    const ExecutionScope scope(way.execution, way.threads);
    std::vector<double> values = make();
    if (first.empty())
      first = std::move(values);
    else
      EXPECT_TRUE(values.size() == first.size() &&
                  std::memcmp(values.data(), first.data(), values.size() * sizeof(double)) == 0)
          << "bits change with " << way.threads << " threads";
  }
  return first;
}

inline constexpr DType kFloatTypes[] = {DType::f32, DType::bf16, DType::f16};

/// The rounding of a result in `type`, and that of a short fp32 computation before it.
inline double rounding(DType type) { return epsilon_of(type) + 16 * epsilon_of(DType::f32); }

/// Every index of a tensor of n elements.
inline std::vector<std::size_t> all_elements(std::size_t n) {
  std::vector<std::size_t> indices(n);
  for (std::size_t i = 0; i < n; ++i) indices[i] = i;
  return indices;
}

}  // namespace trireme::validation
