// Forward attention on a GPU on fp32 units: a block holds a tile of queries and goes through the
// keys they see.

#include "kernels/attention/attention_cudnn.hpp"
#include "kernels/attention/attention_tile.cuh"
#include "kernels/base/vector_math.hpp"
#include "kernels/device_kernels.hpp"

#include <cmath>
#include <limits>

namespace trireme::kernels {
namespace attention {
namespace {

constexpr int kKeys = 32;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

template <int kWidth>
constexpr int kQueries = kWidth <= 128 ? 64 : 32;

template <int kWidth>
constexpr std::size_t kForwardBytes = sizeof(float) * (Tile<kQueries<kWidth>, kWidth>::kFloats +
                                                       2 * Tile<kKeys, kWidth>::kFloats +
                                                       Tile<kQueries<kWidth>, kKeys>::kFloats);

struct Larger {
  constexpr float operator()(float a, float b) const { return a > b ? a : b; }
};

/// Block (tile of queries, query head, sample).
template <int kWidth>
__global__ void forward_kernel(DeviceCall call) {
  constexpr int kRows = kQueries<kWidth>;
  constexpr int kOwnRows = kRows / kRowThreads;
  constexpr int kOwnKeys = kKeys / kLanes;
  constexpr int kOwnColumns = kWidth / kLanes;
  const Tile<kRows, kWidth> q{cuda::dynamic_shared()};
  const Tile<kKeys, kWidth> k{q.data + q.kFloats};
  const Tile<kKeys, kWidth> v{k.data + k.kFloats};
  const Tile<kRows, kKeys> probability{v.data + v.kFloats};

  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int own = static_cast<int>(threadIdx.x) / kLanes;
  const auto [begin, end, head, sample, row] = queries_of_block(call, kRows);
  const std::int64_t head_dim = call.shape.head_dim;
  const DropoutStream stream(call.dropout, sample);

  float largest[kOwnRows];
  float total[kOwnRows] = {};
  float sum[kOwnRows][kOwnColumns] = {};
  for (float& value : largest) value = kMinusInfinity;
  q.fill(call.q, row + begin, row + end, head, head_dim);

  for (std::int64_t key = call.start_of(sample, begin) / kKeys * kKeys; key < end; key += kKeys) {
    __syncthreads();  // the tiles of the round before have been read
    k.fill(call.k, row + key, row + end, head / call.group, head_dim);
    v.fill(call.v, row + key, row + end, head / call.group, head_dim);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      const int at = own + r * kRowThreads;
      const std::int64_t i = begin + at;
      float score[kOwnKeys];
      float most = largest[r];
      for (int j = 0; j < kOwnKeys; ++j) {
        const int column = lane + j * kLanes;
        score[j] = call.sees(sample, i, key + column)
                       ? call.scale * dot<kWidth>(q.row(at), k.row(column))
                       : kMinusInfinity;
        most = Larger{}(score[j], most);
      }
      most = row_join(most, Larger{});
      // What was summed before shrinks by the growth of the maximum. No key seen yet: sums are 0.
      const float shift = most == kMinusInfinity ? 0.0f : most;
      const float factor = vector_exp(largest[r] - shift);
      largest[r] = most;
      float added = 0;
      for (int j = 0; j < kOwnKeys; ++j) {
        const int column = lane + j * kLanes;
        const float p = vector_exp(score[j] - shift);
        added += p;
        probability.row(at)[column] =
            p == 0.0f ? 0.0f : p * call.keep_factor(stream, head, i, key + column);
      }
      total[r] = std::fma(total[r], factor, row_join(added, cuda::Add{}));
      for (float& value : sum[r]) value *= factor;
    }
    __syncwarp();  // a row of probabilities is written and read by lanes of one warp
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      const float* p = probability.row(own + r * kRowThreads);
      for (int j = 0; j < kKeys; ++j)
        for (int c = 0; c < kOwnColumns; ++c)
          sum[r][c] = std::fma(p[j], v.row(j)[lane + c * kLanes], sum[r][c]);
    }
    __syncwarp();
  }

  // Results leave in packs: through the tile of queries, which nobody reads any more.
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    const int at = own + r * kRowThreads;
    const float factor = 1.0f / total[r];
    for (int c = 0; c < kOwnColumns; ++c) q.row(at)[lane + c * kLanes] = sum[r][c] * factor;
    if (lane == 0 && begin + at < end)
      call.lse[call.row_of(sample, head, begin + at)] = largest[r] + std::log(total[r]);
  }
  __syncthreads();
  q.drain(call.out, row + begin, row + end, head, head_dim);
}

void forward(const AttentionShape& shape, const TensorView& out, const TensorView& lse,
             const TensorView& q, const TensorView& k, const TensorView& v,
             const AttentionOptions& options) {
  if (forward_by_cudnn(shape, out, lse, q, k, v, options)) return;
  const DeviceCall call = device_call(shape, out, lse, q, k, v, options);
  if (forward_on_tensor_cores(call, q.dtype)) return;
  with_tile_width(shape.head_dim, [&](auto width) {
    launch_wide("attention_forward", forward_kernel<width>,
                dim3(static_cast<unsigned>(cuda::blocks_for(shape.seq, kQueries<width>)),
                     static_cast<unsigned>(shape.heads), static_cast<unsigned>(shape.batch)),
                kThreads, kForwardBytes<width>, call);
  });
}

std::string path(DType dtype, MemorySpace) {
  const std::string cudnn = cudnn_attention(dtype);
  if (dtype == DType::f32) return "own kernels";
  const std::string own = "own kernels on tensor cores";
  return cudnn.empty() ? own : cudnn + "; for documents and dropout " + own;
}

}  // namespace

DeviceCall device_call(const AttentionShape& shape, const TensorView& out, const TensorView& lse,
                       const TensorView& q, const TensorView& k, const TensorView& v,
                       const AttentionOptions& options) {
  const float scale =
      options.scale != 0 ? options.scale : 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  return {shape,
          shape.heads / shape.kv_heads,
          cuda::matrix_of(q),
          cuda::matrix_of(k),
          cuda::matrix_of(v),
          cuda::matrix_of(out),
          static_cast<float*>(lse.data),
          static_cast<const std::int32_t*>(options.document_start.data),
          scale,
          options.dropout,
          options.first_head};
}

}  // namespace attention

void provide_attention_forward(DeviceKernels& kernels) {
  kernels.attention_forward = attention::forward;
  kernels.attention_path = attention::path;
}

}  // namespace trireme::kernels
