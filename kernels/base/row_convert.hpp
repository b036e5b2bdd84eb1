#pragma once
// Rows between storage types and fp32. Kernels compute in fp32 and call these on one row or tile at
// a time.

#include "kernels/base/dtype.hpp"
#include "kernels/base/error.hpp"

#if defined(__F16C__) && defined(__AVX__)
#include <immintrin.h>
#endif

#include <bit>
#include <cstdint>
#include <cstring>

namespace trireme {

inline void load_row(const float* __restrict source, float* __restrict out, std::int64_t count) {
  std::memcpy(out, source, static_cast<std::size_t>(count) * sizeof(float));
}

inline void load_row(const BFloat16* __restrict source, float* __restrict out, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = std::bit_cast<float>(static_cast<std::uint32_t>(source[i].bits) << 16);
}

/// GCC 12 vectorises no _Float16, so the conversion instructions are named.
inline void load_row(const Float16* __restrict source, float* __restrict out, std::int64_t count) {
  std::int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
  for (; i + 8 <= count; i += 8) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(halves));
  }
#endif
  for (; i < count; ++i) out[i] = static_cast<float>(source[i]);
}

/// Stores round to nearest, ties to even.
inline void store_row(const float* __restrict source, float* __restrict out, std::int64_t count) {
  std::memcpy(out, source, static_cast<std::size_t>(count) * sizeof(float));
}

/// The arithmetic of BFloat16(float) without a branch, which the vectoriser needs. Inlined always:
/// files compiled for other instruction sets use it.
[[gnu::always_inline]] inline void store_row(const float* __restrict source,
                                             BFloat16* __restrict out, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const auto u = std::bit_cast<std::uint32_t>(source[i]);
    const auto magnitude = static_cast<std::int32_t>(u & 0x7fffffffu);
    const std::uint32_t nan = magnitude > 0x7f800000 ? ~0u : 0u;
    const std::uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1u);
    out[i].bits = static_cast<std::uint16_t>(((rounded & ~nan) | ((u | 0x00400000u) & nan)) >> 16);
  }
}

inline void store_row(const float* __restrict source, Float16* __restrict out, std::int64_t count) {
  std::int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
  for (; i + 8 <= count; i += 8) {
    const __m256 values = _mm256_loadu_ps(source + i);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
#endif
  for (; i < count; ++i) out[i] = Float16(source[i]);
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
