#pragma once
// What forward and backward attention of 16-bit numbers on tensor cores share: tiles in shared
// memory and products of their 16 x 16 blocks. Private to kernels/attention.
//
// A block has four warps; each owns 16 rows (queries or keys) of a tile of 64 and all that is made
// of them, so that only filling tiles takes the whole block. Which thread holds which element of a
// product is the hardware's own business (CUDA C++ Programming Guide, "Warp matrix functions"):
// factors of rows come as blocks too, and what depends on a place (masks, softmax, dropout) goes
// through shared memory, where two lanes share a row.

#include "kernels/attention/attention_tile.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

namespace trireme::kernels::attention {

namespace wmma = nvcuda::wmma;

inline constexpr int kBlock = 16;  ///< rows and columns of a product
inline constexpr int kWarps = 4;
inline constexpr int kTensorThreads = kWarps * cuda::kWarp;
inline constexpr int kOwned = kWarps * kBlock;      ///< rows of a tile that a block of threads owns
inline constexpr int kFour = 4;                     ///< elements that a lane takes at a time
inline constexpr std::int64_t kTensorWidest = 128;  ///< elements of a head

template <class T>
inline constexpr DType kTypeOf = DType::bf16;
template <>
inline constexpr DType kTypeOf<__half> = DType::f16;

template <class T>
using Left = wmma::fragment<wmma::matrix_a, kBlock, kBlock, kBlock, T, wmma::row_major>;
template <class T, class Layout>
using Right = wmma::fragment<wmma::matrix_b, kBlock, kBlock, kBlock, T, Layout>;
using Sum = wmma::fragment<wmma::accumulator, kBlock, kBlock, kBlock, float>;

/// Elements of a row of a tile: 16 bytes more than it holds, which keeps blocks in different banks.
template <int kWidth>
inline constexpr int kPitch = kWidth + 8;
template <class T, int kRows, int kWidth>
using HalfTile = T[kRows][kPitch<kWidth>];

/// Rows [first, first + kRows) of `view`, columns of this head; zeros beyond `last` and beyond
/// head_dim. All threads of the block take part; a barrier must follow.
template <class T, int kRows, int kColumns>
__device__ void fill_tile(T (&tile)[kRows][kColumns], const Matrix& view, std::int64_t first,
                          std::int64_t last, std::int64_t head, std::int64_t head_dim) {
  constexpr int kPacks = (kColumns - 8) / kPack;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kPacks; i += kTensorThreads) {
    const int r = i / kPacks;
    const int c = i % kPacks * kPack;
    const std::int64_t left = first + r < last ? head_dim - c : 0;
    cuda::EightHalves values{};
    if (left > 0) {
      const auto* from = reinterpret_cast<const std::uint16_t*>(view.data) +
                         (first + r) * view.stride + head * head_dim + c;
      if (left >= kPack && cuda::is_aligned(from)) {
        values = *reinterpret_cast<const cuda::EightHalves*>(from);
      } else {
        for (int k = 0; k < kPack; ++k) values.value[k] = k < left ? from[k] : std::uint16_t{0};
      }
    }
    *reinterpret_cast<cuda::EightHalves*>(&tile[r][c]) = values;
  }
}

/// kOwned rows of results in fp32, each warp's written by itself.
template <int kWidth>
using ResultTile = float[kOwned][kWidth + 4];

/// The other way; what lies beyond `last` or head_dim is not written.
template <int kColumns>
__device__ void drain_tile(const float (&tile)[kOwned][kColumns], const Matrix& view,
                           std::int64_t first, std::int64_t last, std::int64_t head,
                           std::int64_t head_dim) {
  constexpr int kPacks = (kColumns - 4) / kPack;
  for (int i = static_cast<int>(threadIdx.x); i < kOwned * kPacks; i += kTensorThreads) {
    const int r = i / kPacks;
    const int c = i % kPacks * kPack;
    const std::int64_t left = head_dim - c;
    if (first + r >= last || left <= 0) continue;
    float values[kPack];
    for (int k = 0; k < kPack; ++k) values[k] = tile[r][c + k];
    cuda::store(view, first + r, head * head_dim + c, left < kPack ? static_cast<int>(left) : kPack,
                values);
  }
}

/// to += left right^T for a warp's rows of `left` and kBlock rows of `right`, both kWidth wide.
template <int kWidth, class T>
__device__ void add_scores(Sum& to, const T* left, const T* right) {
#pragma unroll
  for (int d = 0; d < kWidth; d += kBlock) {
    Left<T> a;
    Right<T, wmma::col_major> b;
    wmma::load_matrix_sync(a, left + d, kPitch<kWidth>);
    wmma::load_matrix_sync(b, right + d, kPitch<kWidth>);
    wmma::mma_sync(to, a, b, to);
  }
}

/// A warp's sums over kWidth columns.
template <int kWidth>
struct Sums {
  Sum block[kWidth / kBlock];

  __device__ Sums() {
    for (Sum& sum : block) wmma::fill_fragment(sum, 0.0f);
  }
  /// Adds left right, with left [kBlock, kDepth] in rows `stride` long and right [kDepth, kWidth].
  template <int kDepth, class T>
  __device__ void add(const T* left, unsigned stride, const T* right) {
#pragma unroll
    for (int d = 0; d < kDepth; d += kBlock) {
      Left<T> a;
      wmma::load_matrix_sync(a, left + d, stride);
#pragma unroll
      for (int n = 0; n < kWidth / kBlock; ++n) {
        Right<T, wmma::row_major> b;
        wmma::load_matrix_sync(b, right + d * kPitch<kWidth> + n * kBlock, kPitch<kWidth>);
        wmma::mma_sync(block[n], a, b, block[n]);
      }
    }
  }
  /// To the rows of this warp.
  __device__ void store(float* rows) const {
    for (int n = 0; n < kWidth / kBlock; ++n)
      wmma::store_matrix_sync(rows + n * kBlock, block[n], kWidth + 4, wmma::mem_row_major);
  }
};

/// Four numbers, rounded, as neighbours in shared memory.
template <class T>
__device__ inline void store_four(T* to, const float (&values)[kFour]) {
  struct alignas(8) FourHalves {
    std::uint16_t value[kFour];
  } rounded;
  for (int e = 0; e < kFour; ++e) rounded.value[e] = cuda::rounded(values[e], kTypeOf<T>);
  *reinterpret_cast<FourHalves*>(to) = rounded;
}

/// Calls f(T{}, constant width) for calls that tensor cores take; false for others.
template <class F>
bool on_tensor_cores(const AttentionShape& shape, DType dtype, const F& f) {
  if (dtype == DType::f32 || shape.head_dim > kTensorWidest) return false;
  with_tile_width(shape.head_dim, [&](auto width) {
    if constexpr (width <= kTensorWidest)
      dtype == DType::bf16 ? f(__nv_bfloat16{}, width) : f(__half{}, width);
  });
  return true;
}

}  // namespace trireme::kernels::attention
