#include "lib/comm/ordered_sum.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <cstring>

namespace trireme::comm {
namespace {

constexpr std::int64_t kBlock = 1024;  // elements summed at a time: stays in the first-level cache

template <class Element, class Sum>
void load(const Element* __restrict from, Sum* __restrict sum, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) sum[i] = static_cast<Sum>(from[i]);
}

template <class Element, class Sum>
void add(const Element* __restrict from, Sum* __restrict sum, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) sum[i] += static_cast<Sum>(from[i]);
}

template <class Element, class Sum>
void store(const Sum* __restrict sum, Element* __restrict to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<Element>(sum[i]);
}

template <class Element, class Sum>
void sum_blocks(std::span<const void* const> sources, std::span<void* const> targets,
                std::int64_t count) {
  alignas(64) Sum sum[kBlock];
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t n = std::min(kBlock, count - begin);
    load(static_cast<const Element*>(sources[0]) + begin, sum, n);
    for (const void* source : sources.subspan(1))
      add(static_cast<const Element*>(source) + begin, sum, n);
    for (void* target : targets) store(sum, static_cast<Element*>(target) + begin, n);
  }
}

}  // namespace

void ordered_sum(std::span<const void* const> sources, std::span<void* const> targets,
                 std::int64_t count, DType dtype) {
  switch (dtype) {
    case DType::f32: return sum_blocks<float, float>(sources, targets, count);
    case DType::f64: return sum_blocks<double, double>(sources, targets, count);
    case DType::bf16: return sum_blocks<BFloat16, float>(sources, targets, count);
    case DType::f16: return sum_blocks<Float16, float>(sources, targets, count);
    default:
      fail(Exit::kUnexpected, "expected f32, f64, bf16 or f16 in a reduction, found {}",
           name_of(dtype));
  }
}

}  // namespace trireme::comm
