// Backward attention on a GPU on fp32 units, without atomics: one kernel sums over queries for a
// tile of keys (dk, dv), another over keys for a tile of queries (dq). Scores are computed in
// both: 1.4 times the arithmetic, and every sum has one order.

#include "kernels/attention/attention_cudnn.hpp"
#include "kernels/attention/attention_tile.cuh"
#include "kernels/attention/attention_workspace.hpp"
#include "kernels/base/vector_math.hpp"
#include "kernels/device_kernels.hpp"

namespace trireme::kernels {
namespace attention {
namespace {

constexpr int kSide = 32;  ///< queries and keys of a tile: one row a row of threads
static_assert(kSide == kRowThreads);
constexpr int kOwnKeys = kSide / kLanes;

template <int kWidth>
constexpr std::size_t kBackwardBytes = sizeof(float) * (4 * Tile<kSide, kWidth>::kFloats +
                                                        2 * Tile<kSide, kSide>::kFloats);

/// The tiles of one step: queries and their gradients against keys and values.
template <int kWidth>
struct Tiles {
  Tile<kSide, kWidth> q, dout, k, v;
  Tile<kSide, kSide> probability, d_score;

  __device__ explicit Tiles(float* memory)
      : q{memory},
        dout{q.data + q.kFloats},
        k{dout.data + dout.kFloats},
        v{k.data + k.kFloats},
        probability{v.data + v.kFloats},
        d_score{probability.data + probability.kFloats} {}

  /// probability <- p factor and d_score <- scale p (factor dp - delta), zero where masked, with
  /// p = exp(scale s - lse), for the queries from `begin` and the keys from `key` on.
  __device__ void scores(const DeviceCall& call, const DeviceGradients& gradients,
                         const DropoutStream& stream, std::int64_t sample, std::int64_t head,
                         std::int64_t begin, std::int64_t key) const {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    const int own = static_cast<int>(threadIdx.x) / kLanes;
    const std::int64_t i = begin + own;
    const bool inside = i < call.shape.seq;
    const float lse = inside ? call.lse[call.row_of(sample, head, i)] : 0.0f;
    const float delta = inside ? gradients.delta[call.row_of(sample, head, i)] : 0.0f;
    for (int j = 0; j < kOwnKeys; ++j) {
      const int column = lane + j * kLanes;
      float p = 0;
      float ds = 0;
      if (call.sees(sample, i, key + column)) {
        const float factor = call.keep_factor(stream, head, i, key + column);
        const float s = dot<kWidth>(q.row(own), k.row(column));
        const float dp = dot<kWidth>(dout.row(own), v.row(column));
        const float e = vector_exp(call.scale * s - lse);
        p = e * factor;
        ds = call.scale * e * (factor * dp - delta);
      }
      probability.row(own)[column] = p;
      d_score.row(own)[column] = ds;
    }
  }
};

/// One warp a row of a head: delta = rowsum(dout out).
__global__ void delta_kernel(DeviceCall call, DeviceGradients gradients) {
  const std::int64_t token = blockIdx.x / call.shape.heads;
  const std::int64_t head = blockIdx.x % call.shape.heads;
  const std::int64_t head_dim = call.shape.head_dim;
  float sum = 0;
  for (std::int64_t column = static_cast<std::int64_t>(threadIdx.x) * kPack; column < head_dim;
       column += cuda::kWarp * kPack) {
    const std::int64_t left = head_dim - column;
    const int count = left < kPack ? static_cast<int>(left) : kPack;
    float a[kPack];
    float b[kPack];
    cuda::load(gradients.dout, token, head * head_dim + column, count, a);
    cuda::load(call.out, token, head * head_dim + column, count, b);
    for (int k = 0; k < kPack; ++k) sum = std::fma(a[k], b[k], sum);
  }
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0)
    gradients.delta[call.row_of(token / call.shape.seq, head, token % call.shape.seq)] = sum;
}

/// Block (tile of keys, kv head, sample): dk and dv, summed over the query heads that read the kv
/// head and over the queries that see the keys.
template <int kWidth>
__global__ void keys_kernel(DeviceCall call, DeviceGradients gradients) {
  constexpr int kOwnColumns = kWidth / kLanes;
  const Tiles<kWidth> tiles(cuda::dynamic_shared());
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int own = static_cast<int>(threadIdx.x) / kLanes;
  const std::int64_t key = static_cast<std::int64_t>(blockIdx.x) * kSide;
  const std::int64_t kv_head = blockIdx.y;
  const std::int64_t sample = blockIdx.z;
  const std::int64_t seq = call.shape.seq;
  const std::int64_t head_dim = call.shape.head_dim;
  const std::int64_t row = sample * seq;
  const DropoutStream stream(call.dropout, sample);
  tiles.k.fill(call.k, row + key, row + seq, kv_head, head_dim);
  tiles.v.fill(call.v, row + key, row + seq, kv_head, head_dim);
  float dk[kOwnColumns] = {};
  float dv[kOwnColumns] = {};
  for (std::int64_t member = 0; member < call.group; ++member) {
    const std::int64_t head = kv_head * call.group + member;
    for (std::int64_t begin = key; begin < seq; begin += kSide) {
      if (call.start_of(sample, begin) >= key + kSide) break;  // starts never fall: all done
      __syncthreads();  // the tiles of the round before have been read
      tiles.q.fill(call.q, row + begin, row + seq, head, head_dim);
      tiles.dout.fill(gradients.dout, row + begin, row + seq, head, head_dim);
      __syncthreads();
      tiles.scores(call, gradients, stream, sample, head, begin, key);
      __syncthreads();
      for (int i = 0; i < kSide; ++i) {
        const float p = tiles.probability.row(i)[own];
        const float ds = tiles.d_score.row(i)[own];
        for (int c = 0; c < kOwnColumns; ++c) {
          dv[c] = std::fma(p, tiles.dout.row(i)[lane + c * kLanes], dv[c]);
          dk[c] = std::fma(ds, tiles.q.row(i)[lane + c * kLanes], dk[c]);
        }
      }
    }
  }
  __syncthreads();  // results leave through the tiles of keys and values
  for (int c = 0; c < kOwnColumns; ++c) {
    tiles.k.row(own)[lane + c * kLanes] = dk[c];
    tiles.v.row(own)[lane + c * kLanes] = dv[c];
  }
  __syncthreads();
  tiles.k.drain(gradients.dk, row + key, row + seq, kv_head, head_dim);
  tiles.v.drain(gradients.dv, row + key, row + seq, kv_head, head_dim);
}

/// Block (tile of queries, query head, sample): dq, summed over the keys they see.
template <int kWidth>
__global__ void queries_kernel(DeviceCall call, DeviceGradients gradients) {
  constexpr int kOwnColumns = kWidth / kLanes;
  const Tiles<kWidth> tiles(cuda::dynamic_shared());
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int own = static_cast<int>(threadIdx.x) / kLanes;
  const auto [begin, end, head, sample, row] = queries_of_block(call, kSide);
  const std::int64_t head_dim = call.shape.head_dim;
  const DropoutStream stream(call.dropout, sample);
  tiles.q.fill(call.q, row + begin, row + end, head, head_dim);
  tiles.dout.fill(gradients.dout, row + begin, row + end, head, head_dim);
  float dq[kOwnColumns] = {};
  for (std::int64_t key = call.start_of(sample, begin) / kSide * kSide; key < end; key += kSide) {
    __syncthreads();  // the tiles of the round before have been read
    tiles.k.fill(call.k, row + key, row + end, head / call.group, head_dim);
    tiles.v.fill(call.v, row + key, row + end, head / call.group, head_dim);
    __syncthreads();
    tiles.scores(call, gradients, stream, sample, head, begin, key);
    __syncwarp();  // a row of scores is written and read by lanes of one warp
    for (int j = 0; j < kSide; ++j) {
      const float ds = tiles.d_score.row(own)[j];
      for (int c = 0; c < kOwnColumns; ++c)
        dq[c] = std::fma(ds, tiles.k.row(j)[lane + c * kLanes], dq[c]);
    }
  }
  __syncthreads();
  for (int c = 0; c < kOwnColumns; ++c) tiles.q.row(own)[lane + c * kLanes] = dq[c];
  __syncthreads();
  tiles.q.drain(gradients.dq, row + begin, row + end, head, head_dim);
}

void backward(const AttentionShape& shape, const TensorView& dq, const TensorView& dk,
              const TensorView& dv, const TensorView& dout, const TensorView& q,
              const TensorView& k, const TensorView& v, const TensorView& out,
              const TensorView& lse, const AttentionOptions& options) {
  if (backward_by_cudnn(shape, dq, dk, dv, dout, q, k, v, out, lse, options)) return;
  const DeviceCall call = device_call(shape, out, lse, q, k, v, options);
  auto* delta = static_cast<float*>(
      current_stream().scratch("attention_backward", own_backward_bytes(shape)));
  const DeviceGradients gradients{cuda::matrix_of(dout), cuda::matrix_of(dq), cuda::matrix_of(dk),
                                  cuda::matrix_of(dv), delta};
  cuda::launch("attention_delta", delta_kernel,
               dim3(static_cast<unsigned>(shape.tokens() * shape.heads)), cuda::kWarp, 0, call,
               gradients);
  if (backward_on_tensor_cores(call, gradients, q.dtype)) return;
  with_tile_width(shape.head_dim, [&](auto width) {
    const auto tiles = static_cast<unsigned>(cuda::blocks_for(shape.seq, kSide));
    const auto samples = static_cast<unsigned>(shape.batch);
    launch_wide("attention_backward", keys_kernel<width>,
                dim3(tiles, static_cast<unsigned>(shape.kv_heads), samples), kThreads,
                kBackwardBytes<width>, call, gradients);
    launch_wide("attention_backward", queries_kernel<width>,
                dim3(tiles, static_cast<unsigned>(shape.heads), samples), kThreads,
                kBackwardBytes<width>, call, gradients);
  });
}

}  // namespace
}  // namespace attention

void provide_attention_backward(DeviceKernels& kernels) {
  kernels.attention_backward = attention::backward;
}

}  // namespace trireme::kernels
