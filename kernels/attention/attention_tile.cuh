#pragma once
// What forward and backward attention on a GPU share: the call, tiles in shared memory, masks and
// dropout. Private to kernels/attention.
//
// Here products run on fp32 units from tiles in fp32: for fp32 and for heads of more than 128
// elements. A block has 256 threads: 32 rows of 8. Thread (row, lane) makes the scores of its rows
// with keys lane, lane + 8, ... and the columns lane, lane + 8, ... of its rows' results.
// Narrower heads of 16-bit numbers run on tensor cores (attention_tensor.cuh).

#include "kernels/attention/attention.hpp"
#include "kernels/base/device_kernel.cuh"

#include <cmath>
#include <type_traits>

namespace trireme::kernels::attention {

using cuda::kPack;
using cuda::Matrix;

inline constexpr int kThreads = 256;
inline constexpr int kLanes = 8;
inline constexpr int kRowThreads = kThreads / kLanes;

/// A checked call as the kernels see it.
struct DeviceCall {
  AttentionShape shape;
  std::int64_t group;  ///< query heads a kv head
  Matrix q, k, v, out;
  float* lse;                  ///< [batch, heads, seq]
  const std::int32_t* starts;  ///< [tokens] or null
  float scale;
  DropoutKey dropout;
  std::int64_t first_head;

  __device__ std::int64_t start_of(std::int64_t sample, std::int64_t i) const {
    return starts ? starts[sample * shape.seq + i] : 0;
  }
  /// Whether query i of the sample sees this key; both may lie beyond the sequence.
  __device__ bool sees(std::int64_t sample, std::int64_t i, std::int64_t key) const {
    return i < shape.seq && key <= i && key >= start_of(sample, i);
  }
  __device__ std::int64_t row_of(std::int64_t sample, std::int64_t head, std::int64_t i) const {
    return (sample * shape.heads + head) * shape.seq + i;
  }
  /// Factor on the probability of (head, i, key).
  __device__ float keep_factor(const DropoutStream& stream, std::int64_t head, std::int64_t i,
                               std::int64_t key) const {
    if (!dropout.active()) return 1.0f;
    const std::int64_t element = ((first_head + head) * shape.seq + i) * shape.seq + key;
    return stream.keep(element) ? dropout.scale() : 0.0f;
  }
  /// Those of the four keys from `key` on.
  __device__ void keep_factors(const DropoutStream& stream, std::int64_t head, std::int64_t i,
                               std::int64_t key, float (&factors)[4]) const {
    const std::int64_t element = ((first_head + head) * shape.seq + i) * shape.seq + key;
    if (dropout.active() && element % 4 == 0) {  // one draw gives all four
      const auto words = stream.words(element / 4);
      for (int e = 0; e < 4; ++e)
        factors[e] = stream.keeps(words[static_cast<std::size_t>(e)]) ? dropout.scale() : 0.0f;
    } else {
      for (int e = 0; e < 4; ++e) factors[e] = keep_factor(stream, head, i, key + e);
    }
  }
};

/// What backward reads and writes besides.
struct DeviceGradients {
  Matrix dout, dq, dk, dv;
  float* delta;  ///< [batch, heads, seq]: rowsum(dout out)
};

/// The tile of queries that a block of a grid (tiles, query heads, samples) works on.
struct QueryTile {
  std::int64_t begin, end;  ///< positions in the sequence
  std::int64_t head, sample;
  std::int64_t row;  ///< of the sequence's first token
};
/// `rows` queries a tile. The last queries see most keys: they go first.
__device__ inline QueryTile queries_of_block(const DeviceCall& call, int rows) {
  const std::int64_t begin = static_cast<std::int64_t>(gridDim.x - 1 - blockIdx.x) * rows;
  const std::int64_t end = begin + rows < call.shape.seq ? begin + rows : call.shape.seq;
  return {begin, end, blockIdx.y, blockIdx.z, blockIdx.z * call.shape.seq};
}

/// The call of the contract, scale and group made definite.
DeviceCall device_call(const AttentionShape& shape, const TensorView& out, const TensorView& lse,
                       const TensorView& q, const TensorView& k, const TensorView& v,
                       const AttentionOptions& options);

/// The call on tensor cores, in the current stream; false, and nothing done, where they do not take
/// the dtype or the width of a head.
bool forward_on_tensor_cores(const DeviceCall& call, DType dtype);
bool backward_on_tensor_cores(const DeviceCall& call, const DeviceGradients& gradients,
                              DType dtype);

/// kRows rows of one head in shared memory; a pitch of kWidth + 1 keeps columns in different banks.
template <int kRows, int kWidth>
struct Tile {
  static constexpr int kPitch = kWidth + 1;
  static constexpr int kFloats = kRows * kPitch;
  float* data;
  __device__ float* row(int r) const { return data + r * kPitch; }

  /// Rows [first, first + kRows) of `view`, columns of this head; zeros beyond `last` and beyond
  /// head_dim. All threads of the block take part; a barrier must follow.
  __device__ void fill(const Matrix& view, std::int64_t first, std::int64_t last, std::int64_t head,
                       std::int64_t head_dim) const {
    constexpr int kPacks = kWidth / kPack;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kPacks; i += kThreads) {
      const int r = i / kPacks;
      const int c = i % kPacks * kPack;
      const std::int64_t left = head_dim - c;
      const int count =
          first + r < last && left > 0 ? (left < kPack ? static_cast<int>(left) : kPack) : 0;
      float values[kPack] = {};
      if (count > 0) cuda::load(view, first + r, head * head_dim + c, count, values);
      for (int k = 0; k < kPack; ++k) row(r)[c + k] = values[k];
    }
  }

  /// The other way; what lies beyond `last` or head_dim is not written.
  __device__ void drain(const Matrix& view, std::int64_t first, std::int64_t last,
                        std::int64_t head, std::int64_t head_dim) const {
    constexpr int kPacks = kWidth / kPack;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kPacks; i += kThreads) {
      const int r = i / kPacks;
      const int c = i % kPacks * kPack;
      const std::int64_t left = head_dim - c;
      if (first + r >= last || left <= 0) continue;
      float values[kPack];
      for (int k = 0; k < kPack; ++k) values[k] = row(r)[c + k];
      cuda::store(view, first + r, head * head_dim + c,
                  left < kPack ? static_cast<int>(left) : kPack, values);
    }
  }
};

/// join over the eight lanes of a row.
template <class Join>
__device__ float row_join(float value, const Join& join) {
  for (int distance = kLanes / 2; distance > 0; distance /= 2)
    value = join(value, __shfl_xor_sync(0xffffffffu, value, distance));
  return value;
}

template <int kWidth>
__device__ float dot(const float* a, const float* b) {
  float sum = 0;
  for (int d = 0; d < kWidth; ++d) sum = std::fma(a[d], b[d], sum);
  return sum;
}

/// Calls f(constant width) with the smallest tile that holds a head.
template <class F>
void with_tile_width(std::int64_t head_dim, const F& f) {
  if (head_dim <= 32) return f(std::integral_constant<int, 32>{});
  if (head_dim <= 64) return f(std::integral_constant<int, 64>{});
  if (head_dim <= 128) return f(std::integral_constant<int, 128>{});
  check(head_dim <= 256, Exit::kUsage,
        "attention on a GPU takes heads of at most 256 elements, found {}", head_dim);
  f(std::integral_constant<int, 256>{});
}

/// launch() with more shared memory than a kernel gets unasked.
template <class... Parameters, class... Arguments>
void launch_wide(const char* what, void (*kernel)(Parameters...), dim3 blocks, int threads,
                 std::size_t bytes, Arguments&&... arguments) {
  expect_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(bytes)),
              what);
  cuda::launch(what, kernel, blocks, threads, bytes, std::forward<Arguments>(arguments)...);
}

}  // namespace trireme::kernels::attention
