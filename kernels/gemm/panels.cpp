#include "kernels/gemm/panels.hpp"

#include "kernels/gemm/strip.hpp"

#if defined(__AVX__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cstring>

namespace trireme::kernels {
namespace {

/// Two neighbours of depth as a unit, lower one first.
std::uint32_t join(BFloat16 low, BFloat16 high) {
  return low.bits | static_cast<std::uint32_t>(high.bits) << 16;
}

#if defined(__AVX__)
/// Eight rows of eight units, transposed in registers.
void transpose_square(const std::byte* source, std::int64_t stride_bytes, std::uint32_t* out,
                      std::int64_t width) {
  __m256 row[8];
  for (int j = 0; j < 8; ++j)
    row[j] = _mm256_loadu_ps(reinterpret_cast<const float*>(source + j * stride_bytes));
  __m256 pair[8];  // units of rows j and j + 1 in turn, of which half of each four are lower
  for (int j = 0; j < 8; j += 2) {
    pair[j] = _mm256_unpacklo_ps(row[j], row[j + 1]);
    pair[j + 1] = _mm256_unpackhi_ps(row[j], row[j + 1]);
  }
  __m256 four[8];  // unit j (and j + 4 in the upper half) of rows 0 to 3, then of rows 4 to 7
  for (int h = 0; h < 8; h += 4) {
    four[h] = _mm256_shuffle_ps(pair[h], pair[h + 2], 0x44);
    four[h + 1] = _mm256_shuffle_ps(pair[h], pair[h + 2], 0xee);
    four[h + 2] = _mm256_shuffle_ps(pair[h + 1], pair[h + 3], 0x44);
    four[h + 3] = _mm256_shuffle_ps(pair[h + 1], pair[h + 3], 0xee);
  }
  for (int k = 0; k < 4; ++k) {
    const auto store = [&](int unit, __m256 units) {
      _mm256_storeu_ps(reinterpret_cast<float*>(out + unit * width), units);
    };
    store(k, _mm256_permute2f128_ps(four[k], four[k + 4], 0x20));
    store(k + 4, _mm256_permute2f128_ps(four[k], four[k + 4], 0x31));
  }
}
#endif

/// Unit [k, j] of a panel is source[j * stride + k].
void transpose_units(const std::byte* source, std::int64_t stride_bytes, std::int64_t units,
                     std::int64_t columns, std::int64_t width, std::uint32_t* out) {
  for (std::int64_t j = 0; j < columns; j += 8) {
    const std::int64_t last = std::min(j + 8, columns);
    std::int64_t k = 0;
#if defined(__AVX__)
    if (last == j + 8)
      for (; k + 8 <= units; k += 8)
        transpose_square(source + j * stride_bytes + k * 4, stride_bytes, out + k * width + j,
                         width);
#endif
    for (; k < units; ++k)
      for (std::int64_t i = j; i < last; ++i)
        std::memcpy(out + k * width + i, source + i * stride_bytes + k * 4, 4);
  }
}

void copy_units(const float* source, std::int64_t stride, std::int64_t depth, std::int64_t columns,
                std::int64_t width, std::uint32_t* out) {
  // Sixteen at a time, inlined: a call of memcpy for each short row costs more than it copies.
  const std::int64_t whole = columns / 16 * 16;
  for (std::int64_t k = 0; k < depth; ++k) {
    const float* from = source + k * stride;
    std::uint32_t* to = out + k * width;
    for (std::int64_t j = 0; j < whole; j += 16) std::memcpy(to + j, from + j, 16 * 4);
    for (std::int64_t j = whole; j < columns; ++j) to[j] = std::bit_cast<std::uint32_t>(from[j]);
  }
}

void copy_units(const BFloat16* source, std::int64_t stride, std::int64_t depth,
                std::int64_t columns, std::int64_t width, std::uint32_t* out) {
  for (std::int64_t k = 0; k + 2 <= depth; k += 2) {
    const BFloat16* __restrict low = source + k * stride;
    const BFloat16* __restrict high = low + stride;
    std::uint32_t* __restrict to = out + k / 2 * width;
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j) to[j] = join(low[j], high[j]);
  }
  if (depth % 2 == 0) return;
  const BFloat16* last = source + (depth - 1) * stride;
  for (std::int64_t j = 0; j < columns; ++j) out[depth / 2 * width + j] = last[j].bits;
}

}  // namespace

template <class T>
void pack_panels(const T* source, std::int64_t stride, bool transposed, std::int64_t depth,
                 std::int64_t columns, std::int64_t width, std::uint32_t* panels) {
  constexpr std::int64_t kPair = 4 / sizeof(T);
  const std::int64_t units = units_of(depth, kPair);
  for (std::int64_t first = 0; first < columns; first += width, panels += units * width) {
    const std::int64_t count = std::min(width, columns - first);
    if (count < width) std::fill(panels, panels + units * width, 0u);
    if (!transposed) {
      copy_units(source + first, stride, depth, count, width, panels);
      continue;
    }
    const T* from = source + first * stride;
    transpose_units(reinterpret_cast<const std::byte*>(from),
                    stride * static_cast<std::int64_t>(sizeof(T)), depth / kPair, count, width,
                    panels);
    if constexpr (kPair == 2)
      if (depth % 2 != 0)
        for (std::int64_t j = 0; j < count; ++j)
          panels[(units - 1) * width + j] = from[j * stride + depth - 1].bits;
  }
}

template <class T>
void pack_rows(const T* source, std::int64_t stride, std::int64_t depth, std::int64_t rows,
               std::uint32_t* out) {
  for (std::int64_t r = 0; r < rows; ++r) {
    std::uint32_t* to = out + r * kStripStride;
    if (depth * static_cast<std::int64_t>(sizeof(T)) % 4 != 0)
      to[depth / 2] = 0;  // the unit that the last element has alone
    std::memcpy(to, source + r * stride, static_cast<std::size_t>(depth) * sizeof(T));
  }
}

void join_row_pairs(const BFloat16* source, std::int64_t stride, std::int64_t rows,
                    std::int64_t columns, std::uint32_t* out, std::int64_t out_stride) {
  copy_units(source, stride, rows, columns, out_stride, out);
}

template void pack_panels(const float*, std::int64_t, bool, std::int64_t, std::int64_t,
                          std::int64_t, std::uint32_t*);
template void pack_panels(const BFloat16*, std::int64_t, bool, std::int64_t, std::int64_t,
                          std::int64_t, std::uint32_t*);
template void pack_rows(const float*, std::int64_t, std::int64_t, std::int64_t, std::uint32_t*);
template void pack_rows(const BFloat16*, std::int64_t, std::int64_t, std::int64_t, std::uint32_t*);

}  // namespace trireme::kernels
