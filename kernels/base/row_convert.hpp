#pragma once
// Rows between storage types and fp32. Kernels compute in fp32 and call these on one row or tile at
// a time; both loops vectorise.

#include "kernels/base/dtype.hpp"
#include "kernels/base/error.hpp"

#include <cstdint>
#include <cstring>

namespace trireme {

template <class T>
inline void load_row(const T* __restrict source, float* __restrict out, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(source[i]);
}
inline void load_row(const float* __restrict source, float* __restrict out, std::int64_t count) {
  std::memcpy(out, source, static_cast<std::size_t>(count) * sizeof(float));
}

/// Rounds to nearest, ties to even.
template <class T>
inline void store_row(const float* __restrict source, T* __restrict out, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) out[i] = T(source[i]);
}
inline void store_row(const float* __restrict source, float* __restrict out, std::int64_t count) {
  std::memcpy(out, source, static_cast<std::size_t>(count) * sizeof(float));
}

/// Calls f(T{}) with the C++ type of a storage dtype: float, BFloat16 or Float16. Any other dtype
/// is a bug and names `what`.
template <class F>
decltype(auto) with_storage_type(DType type, const char* what, const F& f) {
  switch (type) {
    case DType::f32: return f(float{});
    case DType::bf16: return f(BFloat16{});
    case DType::f16: return f(Float16{});
    default:
      fail(Exit::kUnexpected, "expected f32, bf16 or f16 for {}, found {}", what, name_of(type));
  }
}

}  // namespace trireme
