// Forward attention of 16-bit numbers on tensor cores: a block holds a tile of queries and goes
// through the keys they see (Dao, arXiv 2307.08691, alg. 1).

#include "kernels/attention/attention_tensor.cuh"
#include "kernels/base/vector_math.hpp"

#include <cmath>
#include <limits>

namespace trireme::kernels::attention {
namespace {

constexpr int kKeys = 64;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr int kLaneFours = kKeys / kFour / 2;  ///< of a row, which two lanes share

template <class T, int kWidth>
struct ForwardTiles {
  struct KeysAndValues {
    HalfTile<T, kKeys, kWidth> k, v;
  };
  HalfTile<T, kOwned, kWidth> q;
  union {
    KeysAndValues seen;
    ResultTile<kWidth> out;  ///< when all keys were seen
  };
  float score[kWarps][kBlock][kKeys + 4];
  HalfTile<T, kBlock, kKeys> probability[kWarps];
  float factor[kWarps][kBlock][kBlock + 4];  ///< one number a row
};

/// Every element of row r of the sums <- times factor[r].
template <int kWidth>
__device__ void scale_rows(Sums<kWidth>& sums, const float (&factor)[kBlock][kBlock + 4]) {
  Sum factors;
  wmma::load_matrix_sync(factors, &factor[0][0], kBlock + 4, wmma::mem_row_major);
  for (Sum& sum : sums.block)
    for (int e = 0; e < Sum::num_elements; ++e) sum.x[e] *= factors.x[e];
}

/// What two lanes know of the row they share: the largest score so far, the sum of exponentials.
struct RowState {
  float largest = kMinusInfinity;
  float total = 0;
};

/// The kKeys scores of a row: query i of a head against the keys from `key` on, of which it sees
/// [low, high), counted from there.
struct RowPlace {
  std::int64_t head, i, key;
  int low, high;
};

/// probability <- exp(scale s - largest) dropped out; gives what the sums so far are to be
/// multiplied with.
template <class T>
__device__ float soften(RowState& row, const DeviceCall& call, const DropoutStream& stream,
                        const RowPlace& at, const float* scores, T* probability) {
  const int half = static_cast<int>(threadIdx.x) % 2;
  float score[kLaneFours][kFour];
  float most = row.largest;
#pragma unroll
  for (int g = 0; g < kLaneFours; ++g) {
    const int column = kFour * (2 * g + half);
    const auto four = *reinterpret_cast<const cuda::FourFloats*>(scores + column);
    for (int e = 0; e < kFour; ++e) {
      const bool seen = column + e >= at.low && column + e < at.high;
      score[g][e] = seen ? call.scale * four.value[e] : kMinusInfinity;
      most = score[g][e] > most ? score[g][e] : most;
    }
  }
  const float other = __shfl_xor_sync(0xffffffffu, most, 1);
  most = other > most ? other : most;
  // No key seen yet: the sums are 0.
  const float shift = most == kMinusInfinity ? 0.0f : most;
  const float factor = vector_exp(row.largest - shift);
  float added = 0;
#pragma unroll
  for (int g = 0; g < kLaneFours; ++g) {
    const int column = kFour * (2 * g + half);
    float kept[kFour];
    call.keep_factors(stream, at.head, at.i, at.key + column, kept);
    for (int e = 0; e < kFour; ++e) {
      const float p = vector_exp(score[g][e] - shift);
      added += p;
      kept[e] *= p;
    }
    store_four(probability + column, kept);
  }
  added += __shfl_xor_sync(0xffffffffu, added, 1);
  row.total = std::fma(row.total, factor, added);
  row.largest = most;
  return factor;
}

/// Block (tile of queries, query head, sample).
template <class T, int kWidth>
__global__ void __launch_bounds__(kTensorThreads) tensor_forward_kernel(DeviceCall call) {
  auto& tiles = *reinterpret_cast<ForwardTiles<T, kWidth>*>(cuda::dynamic_shared());
  const int warp = static_cast<int>(threadIdx.x) / cuda::kWarp;
  const int own = static_cast<int>(threadIdx.x) % cuda::kWarp / 2;  // row of the warp's sixteen
  const int half = static_cast<int>(threadIdx.x) % 2;
  const auto [begin, end, head, sample, first] = queries_of_block(call, kOwned);
  const std::int64_t head_dim = call.shape.head_dim;
  const std::int64_t i = begin + warp * kBlock + own;
  const std::int64_t start = i < end ? call.start_of(sample, i) : end;  // of the keys that i sees
  const DropoutStream stream(call.dropout, sample);
  const auto put_factor = [&](float value) {
    for (int c = 0; c < kBlock / 2; ++c) tiles.factor[warp][own][half * kBlock / 2 + c] = value;
    __syncwarp();  // this, and the row's probabilities, are read by the whole warp
  };

  RowState row;
  Sums<kWidth> sums;
  fill_tile(tiles.q, call.q, first + begin, first + end, head, head_dim);
  for (std::int64_t key = call.start_of(sample, begin) / kKeys * kKeys; key < end; key += kKeys) {
    __syncthreads();  // the tiles of the round before have been read
    fill_tile(tiles.seen.k, call.k, first + key, first + end, head / call.group, head_dim);
    fill_tile(tiles.seen.v, call.v, first + key, first + end, head / call.group, head_dim);
    __syncthreads();
    for (int n = 0; n < kKeys / kBlock; ++n) {
      Sum score;
      wmma::fill_fragment(score, 0.0f);
      add_scores<kWidth>(score, &tiles.q[warp * kBlock][0], &tiles.seen.k[n * kBlock][0]);
      wmma::store_matrix_sync(&tiles.score[warp][0][n * kBlock], score, kKeys + 4,
                              wmma::mem_row_major);
    }
    __syncwarp();
    const RowPlace at{head, i, key, static_cast<int>(start - key),
                      i < end ? static_cast<int>(i + 1 - key) : 0};
    put_factor(soften(row, call, stream, at, tiles.score[warp][own], tiles.probability[warp][own]));
    scale_rows(sums, tiles.factor[warp]);
    sums.template add<kKeys>(&tiles.probability[warp][0][0], kPitch<kKeys>, &tiles.seen.v[0][0]);
  }

  __syncwarp();  // the factors of the last round have been read
  put_factor(row.total > 0 ? 1.0f / row.total : 0.0f);
  scale_rows(sums, tiles.factor[warp]);
  if (half == 0 && i < end)
    call.lse[call.row_of(sample, head, i)] = row.largest + std::log(row.total);
  __syncthreads();  // results leave in packs: through the tiles of keys and values
  sums.store(&tiles.out[warp * kBlock][0]);
  __syncthreads();
  drain_tile(tiles.out, call.out, first + begin, first + end, head, head_dim);
}

}  // namespace

bool forward_on_tensor_cores(const DeviceCall& call, DType dtype) {
  const AttentionShape& shape = call.shape;
  return on_tensor_cores(shape, dtype, [&](auto type, auto width) {
    using T = decltype(type);
    launch_wide("attention_forward", tensor_forward_kernel<T, width>,
                dim3(static_cast<unsigned>(cuda::blocks_for(shape.seq, kOwned)),
                     static_cast<unsigned>(shape.heads), static_cast<unsigned>(shape.batch)),
                kTensorThreads, sizeof(ForwardTiles<T, width>), call);
  });
}

}  // namespace trireme::kernels::attention
