// Backward attention of 16-bit numbers on tensor cores, without atomics: one kernel sums over the
// queries that see a tile of keys (dk, dv), another over the keys that a tile of queries sees (dq);
// scores are computed in both (Dao, arXiv 2307.08691, alg. 2, its outer loop on either side).

#include "kernels/attention/attention_tensor.cuh"
#include "kernels/base/vector_math.hpp"

#include <limits>

namespace trireme::kernels::attention {
namespace {

constexpr int kStep = 32;                      ///< rows of the other side at a time
constexpr int kLaneFours = kStep / kFour / 2;  ///< of a row, which two lanes share
constexpr int kScorePitch = kStep + 4;         ///< floats; twice as many halves
enum class Side { queries, keys };

/// The owned side and a step of the other one: of queries q and dout, of keys k and v.
template <class T, int kWidth>
struct BackwardTiles {
  struct Owned {
    HalfTile<T, kOwned, kWidth> first, second;
  };
  union {
    Owned owned;
    ResultTile<kWidth> out;  ///< when all steps were made
  };
  HalfTile<T, kStep, kWidth> first, second;
  /// owned first x first^T, which becomes the probabilities that multiplied v, rounded to T; owned
  /// second x second^T, which becomes the gradient of the scores.
  float score[kWarps][kBlock][kScorePitch];
  float slope[kWarps][kBlock][kScorePitch];
  /// Of the queries, on whichever side they are.
  float lse[kOwned];
  float delta[kOwned];
  std::int32_t
      start[kOwned];  ///< of the keys that it sees; beyond all keys where there is no query

  __device__ const T* probability(int warp) const {
    return reinterpret_cast<const T*>(score[warp]);
  }
  __device__ const T* d_score(int warp) const { return reinterpret_cast<const T*>(slope[warp]); }

  /// lse, delta and start of `count` queries from `begin` on.
  __device__ void fill_statistics(const DeviceCall& call, const DeviceGradients& gradients,
                                  std::int64_t sample, std::int64_t head, std::int64_t begin,
                                  int count) {
    const auto at = static_cast<int>(threadIdx.x);
    if (at >= count) return;
    const bool inside = begin + at < call.shape.seq;
    const std::int64_t row = call.row_of(sample, head, begin + at);
    lse[at] = inside ? call.lse[row] : 0.0f;
    delta[at] = inside ? gradients.delta[row] : 0.0f;
    start[at] = inside ? static_cast<std::int32_t>(call.start_of(sample, begin + at))
                       : std::numeric_limits<std::int32_t>::max();
  }
};

/// Where the tiles of a step lie.
struct StepPlace {
  std::int64_t head;
  std::int64_t owned;  ///< position of the owned side's first row
  std::int64_t other;  ///< of the step's first
};

/// A warp's scores: tiles.probability <- p factor and tiles.d_score <- scale p (factor dp - delta),
/// zero where masked, with p = exp(scale s - lse).
template <Side kOwner, class T, int kWidth>
__device__ void make_scores(BackwardTiles<T, kWidth>& tiles, const DeviceCall& call,
                            const DropoutStream& stream, const StepPlace& at) {
  const int warp = static_cast<int>(threadIdx.x) / cuda::kWarp;
  const int own = static_cast<int>(threadIdx.x) % cuda::kWarp / 2;
  const int half = static_cast<int>(threadIdx.x) % 2;
  for (int n = 0; n < kStep / kBlock; ++n) {
    Sum score;
    Sum slope;
    wmma::fill_fragment(score, 0.0f);
    wmma::fill_fragment(slope, 0.0f);
    add_scores<kWidth>(score, &tiles.owned.first[warp * kBlock][0], &tiles.first[n * kBlock][0]);
    add_scores<kWidth>(slope, &tiles.owned.second[warp * kBlock][0], &tiles.second[n * kBlock][0]);
    wmma::store_matrix_sync(&tiles.score[warp][0][n * kBlock], score, kScorePitch,
                            wmma::mem_row_major);
    wmma::store_matrix_sync(&tiles.slope[warp][0][n * kBlock], slope, kScorePitch,
                            wmma::mem_row_major);
  }
  __syncwarp();
  const std::int64_t row = at.owned + warp * kBlock + own;
  float p[kLaneFours][kFour];
  float ds[kLaneFours][kFour];
#pragma unroll
  for (int g = 0; g < kLaneFours; ++g) {
    const int column = kFour * (2 * g + half);
    const auto s = *reinterpret_cast<const cuda::FourFloats*>(&tiles.score[warp][own][column]);
    const auto dp = *reinterpret_cast<const cuda::FourFloats*>(&tiles.slope[warp][own][column]);
    float kept[kFour];
    if constexpr (kOwner == Side::queries)
      call.keep_factors(stream, at.head, row, at.other + column, kept);
    for (int e = 0; e < kFour; ++e) {
      const std::int64_t other = at.other + column + e;
      const std::int64_t i = kOwner == Side::queries ? row : other;
      const std::int64_t key = kOwner == Side::queries ? other : row;
      const int query = kOwner == Side::queries ? warp * kBlock + own : column + e;
      const bool seen = key <= i && key >= tiles.start[query];
      const float value = seen ? vector_exp(call.scale * s.value[e] - tiles.lse[query]) : 0.0f;
      if constexpr (kOwner == Side::keys)
        kept[e] = seen ? call.keep_factor(stream, at.head, i, key) : 0.0f;
      p[g][e] = value * kept[e];
      ds[g][e] = call.scale * value * (kept[e] * dp.value[e] - tiles.delta[query]);
    }
  }
  __syncwarp();  // rounded numbers take the place of those that all lanes have read
#pragma unroll
  for (int g = 0; g < kLaneFours; ++g) {
    const int column = kFour * (2 * g + half);
    store_four(reinterpret_cast<T*>(tiles.score[warp][own]) + column, p[g]);
    store_four(reinterpret_cast<T*>(tiles.slope[warp][own]) + column, ds[g]);
  }
  __syncwarp();
}

/// Results leave in packs, through the tiles of the owned side, which nobody reads any more.
template <class T, int kWidth>
__device__ void leave(BackwardTiles<T, kWidth>& tiles, const Sums<kWidth>& sums, const Matrix& to,
                      std::int64_t first, std::int64_t last, std::int64_t head,
                      std::int64_t head_dim) {
  __syncthreads();
  sums.store(&tiles.out[static_cast<int>(threadIdx.x) / cuda::kWarp * kBlock][0]);
  __syncthreads();
  drain_tile(tiles.out, to, first, last, head, head_dim);
}

/// Block (tile of keys, kv head, sample): dk and dv, summed over the query heads that read the kv
/// head and over the queries that see the keys.
template <class T, int kWidth>
__global__ void __launch_bounds__(kTensorThreads)
    tensor_keys_kernel(DeviceCall call, DeviceGradients gradients) {
  auto& tiles = *reinterpret_cast<BackwardTiles<T, kWidth>*>(cuda::dynamic_shared());
  const int warp = static_cast<int>(threadIdx.x) / cuda::kWarp;
  const std::int64_t key = static_cast<std::int64_t>(blockIdx.x) * kOwned;
  const std::int64_t kv_head = blockIdx.y;
  const std::int64_t sample = blockIdx.z;
  const std::int64_t seq = call.shape.seq;
  const std::int64_t head_dim = call.shape.head_dim;
  const std::int64_t row = sample * seq;
  const DropoutStream stream(call.dropout, sample);
  fill_tile(tiles.owned.first, call.k, row + key, row + seq, kv_head, head_dim);
  fill_tile(tiles.owned.second, call.v, row + key, row + seq, kv_head, head_dim);
  Sums<kWidth> dk;
  Sums<kWidth> dv;
  for (std::int64_t member = 0; member < call.group; ++member) {
    const std::int64_t head = kv_head * call.group + member;
    for (std::int64_t begin = key; begin < seq; begin += kStep) {
      if (call.start_of(sample, begin) >= key + kOwned) break;  // starts never fall: all done
      __syncthreads();  // the tiles of the round before have been read
      fill_tile(tiles.first, call.q, row + begin, row + seq, head, head_dim);
      fill_tile(tiles.second, gradients.dout, row + begin, row + seq, head, head_dim);
      tiles.fill_statistics(call, gradients, sample, head, begin, kStep);
      __syncthreads();
      make_scores<Side::keys>(tiles, call, stream, {head, key, begin});
      dv.template add<kStep>(tiles.probability(warp), 2 * kScorePitch, &tiles.second[0][0]);
      dk.template add<kStep>(tiles.d_score(warp), 2 * kScorePitch, &tiles.first[0][0]);
    }
  }
  leave(tiles, dk, gradients.dk, row + key, row + seq, kv_head, head_dim);
  leave(tiles, dv, gradients.dv, row + key, row + seq, kv_head, head_dim);
}

/// Block (tile of queries, query head, sample): dq, summed over the keys they see.
template <class T, int kWidth>
__global__ void __launch_bounds__(kTensorThreads)
    tensor_queries_kernel(DeviceCall call, DeviceGradients gradients) {
  auto& tiles = *reinterpret_cast<BackwardTiles<T, kWidth>*>(cuda::dynamic_shared());
  const int warp = static_cast<int>(threadIdx.x) / cuda::kWarp;
  const auto [begin, end, head, sample, row] = queries_of_block(call, kOwned);
  const std::int64_t head_dim = call.shape.head_dim;
  const DropoutStream stream(call.dropout, sample);
  fill_tile(tiles.owned.first, call.q, row + begin, row + end, head, head_dim);
  fill_tile(tiles.owned.second, gradients.dout, row + begin, row + end, head, head_dim);
  tiles.fill_statistics(call, gradients, sample, head, begin, kOwned);
  Sums<kWidth> dq;
  for (std::int64_t key = call.start_of(sample, begin) / kStep * kStep; key < end; key += kStep) {
    __syncthreads();  // the tiles of the round before have been read
    fill_tile(tiles.first, call.k, row + key, row + end, head / call.group, head_dim);
    fill_tile(tiles.second, call.v, row + key, row + end, head / call.group, head_dim);
    __syncthreads();
    make_scores<Side::queries>(tiles, call, stream, {head, begin, key});
    dq.template add<kStep>(tiles.d_score(warp), 2 * kScorePitch, &tiles.first[0][0]);
  }
  leave(tiles, dq, gradients.dq, row + begin, row + end, head, head_dim);
}

}  // namespace

bool backward_on_tensor_cores(const DeviceCall& call, const DeviceGradients& gradients,
                              DType dtype) {
  const AttentionShape& shape = call.shape;
  return on_tensor_cores(shape, dtype, [&](auto type, auto width) {
    using T = decltype(type);
    const auto tiles = static_cast<unsigned>(cuda::blocks_for(shape.seq, kOwned));
    const auto samples = static_cast<unsigned>(shape.batch);
    launch_wide("attention_backward", tensor_keys_kernel<T, width>,
                dim3(tiles, static_cast<unsigned>(shape.kv_heads), samples), kTensorThreads,
                sizeof(BackwardTiles<T, width>), call, gradients);
    launch_wide("attention_backward", tensor_queries_kernel<T, width>,
                dim3(tiles, static_cast<unsigned>(shape.heads), samples), kTensorThreads,
                sizeof(BackwardTiles<T, width>), call, gradients);
  });
}

}  // namespace trireme::kernels::attention
