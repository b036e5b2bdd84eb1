#include "lib/comm/ordered_sum.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

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

/// Of two to four sources of the type that sums are made in: nothing but loads, adds and stores of
/// what memory holds. Targets may be sources, at the same places.
template <class T, int kSources, bool kTwoTargets>
void sum_few(std::span<const void* const> sources, std::span<void* const> targets,
             std::int64_t begin, std::int64_t count) {
  const T* from[kSources];
  for (std::size_t s = 0; s < kSources; ++s) from[s] = static_cast<const T*>(sources[s]) + begin;
  T* first = static_cast<T*>(targets[0]) + begin;
  T* second = kTwoTargets ? static_cast<T*>(targets[1]) + begin : nullptr;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    T sum = from[0][i] + from[1][i];
    if constexpr (kSources > 2) sum += from[2][i];
    if constexpr (kSources > 3) sum += from[3][i];
    first[i] = sum;
    if constexpr (kTwoTargets) second[i] = sum;
  }
  if constexpr (kTwoTargets)
    for (void* target : targets.subspan(2))
      std::memcpy(static_cast<T*>(target) + begin, first,
                  static_cast<std::size_t>(count) * sizeof(T));
}

template <class T, bool kTwoTargets>
constexpr auto* few_of(std::size_t sources) {
  return sources == 2   ? sum_few<T, 2, kTwoTargets>
         : sources == 3 ? sum_few<T, 3, kTwoTargets>
                        : sum_few<T, 4, kTwoTargets>;
}

/// True when the sources are few enough for that.
template <class T>
bool sum_if_few(std::span<const void* const> sources, std::span<void* const> targets,
                std::int64_t count) {
  if (sources.size() < 2 || sources.size() > 4 || targets.empty()) return false;
  auto* sum =
      targets.size() > 1 ? few_of<T, true>(sources.size()) : few_of<T, false>(sources.size());
  // In blocks, so that what further targets copy is still in the first-level cache.
  for (std::int64_t begin = 0; begin < count; begin += kBlock)
    sum(sources, targets, begin, std::min(kBlock, count - begin));
  return true;
}

template <class Element, class Sum>
void sum_blocks(std::span<const void* const> sources, std::span<void* const> targets,
                std::int64_t count) {
  if constexpr (std::is_same_v<Element, Sum>) {
    if (sum_if_few<Sum>(sources, targets, count)) return;
  }
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
