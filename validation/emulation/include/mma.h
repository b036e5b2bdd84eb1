#pragma once
// The part of CUDA's warp matrix functions that kernels/ uses: products of 16 x 16 blocks that the
// 32 lanes of a warp make together. Names and signatures are CUDA's (CUDA C++ Programming Guide,
// "Warp matrix functions"). Which lane holds which element is nobody's business but the hardware's:
// here they are dealt out in an order of our own, so that code which counts on one goes wrong.

#include "kernels/base/dtype.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <bit>
#include <cstdint>

namespace nvcuda::wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

inline constexpr int kSide = 16;
inline constexpr int kOwn = kSide * kSide / 32;  ///< elements a lane holds

template <class Use, int m, int n, int k, class T, class Layout = void>
struct fragment {
  static_assert(m == kSide && n == kSide && k == kSide);
  static constexpr int num_elements = kOwn;
  T x[kOwn];
};

/// Element of the block that this lane's k-th is.
inline int place_of(int k) {
  return (static_cast<int>(emulation::lane()) * 37 + k * 32 * 37) % 256;
}

inline float float_of(__nv_bfloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}
inline float float_of(__half value) { return __half2float(value); }

template <class Use, class T, class Layout>
void fill_fragment(fragment<Use, 16, 16, 16, T, Layout>& to, const T& value) {
  for (T& element : to.x) element = value;
}

/// What the hardware asks of addresses.
void expect_block(const void* memory, unsigned stride, int element_bytes);

template <class Use, class T, class Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& to, const T* from, unsigned stride) {
  expect_block(from, stride, sizeof(T));
  constexpr bool columns = std::is_same_v<Layout, col_major>;
  for (int k = 0; k < kOwn; ++k) {
    const unsigned row = static_cast<unsigned>(place_of(k) / kSide);
    const unsigned column = static_cast<unsigned>(place_of(k) % kSide);
    to.x[k] = columns ? from[column * stride + row] : from[row * stride + column];
  }
}
inline void load_matrix_sync(fragment<accumulator, 16, 16, 16, float>& to, const float* from,
                             unsigned stride, layout_t layout) {
  expect_block(from, stride, sizeof(float));
  for (int k = 0; k < kOwn; ++k) {
    const unsigned row = static_cast<unsigned>(place_of(k) / kSide);
    const unsigned column = static_cast<unsigned>(place_of(k) % kSide);
    to.x[k] = layout == mem_col_major ? from[column * stride + row] : from[row * stride + column];
  }
}
inline void store_matrix_sync(float* to, const fragment<accumulator, 16, 16, 16, float>& from,
                              unsigned stride, layout_t layout) {
  expect_block(to, stride, sizeof(float));
  for (int k = 0; k < kOwn; ++k) {
    const unsigned row = static_cast<unsigned>(place_of(k) / kSide);
    const unsigned column = static_cast<unsigned>(place_of(k) % kSide);
    to[layout == mem_col_major ? column * stride + row : row * stride + column] = from.x[k];
  }
}

/// Room of the running warp in which its lanes lay their elements out.
struct WarpBlocks {
  float a[kSide * kSide];
  float b[kSide * kSide];
};
WarpBlocks& warp_blocks();

/// d = a b + c, sums in fp32. All lanes of the warp take part.
template <class T, class LayoutA, class LayoutB>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& d,
              const fragment<matrix_a, 16, 16, 16, T, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, T, LayoutB>& b,
              const fragment<accumulator, 16, 16, 16, float>& c) {
  WarpBlocks& blocks = warp_blocks();
  for (int k = 0; k < kOwn; ++k) {
    blocks.a[place_of(k)] = float_of(a.x[k]);
    blocks.b[place_of(k)] = float_of(b.x[k]);
  }
  __syncwarp();
  for (int k = 0; k < kOwn; ++k) {
    const int row = place_of(k) / kSide;
    const int column = place_of(k) % kSide;
    float sum = c.x[k];
    for (int i = 0; i < kSide; ++i) sum += blocks.a[row * kSide + i] * blocks.b[i * kSide + column];
    d.x[k] = sum;
  }
  __syncwarp();  // the room is the next product's
}

}  // namespace nvcuda::wmma
