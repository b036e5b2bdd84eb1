#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/device_dropout.cuh"

#include <limits>

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::kWarp;
using cuda::Matrix;
using cuda::matrix_of;

struct Lookup {
  const std::int32_t* ids;
  Matrix table, out;
  std::int64_t first_row, rows;
  __device__ void operator()(const cuda::Pack& p) const {
    const std::int64_t row = ids[p.row] - first_row;
    float v[kPack] = {};
    if (row >= 0 && row < rows) cuda::load(table, row, p.column, p.count, v);
    cuda::store(out, p.row, p.column, p.count, v);
  }
};

void forward(const TensorView& ids, const TensorView& table, std::int64_t first_row,
             const TensorView& out) {
  cuda::for_packs("embedding", cuda::Packs(out.rows(), out.width()),
                  Lookup{static_cast<const std::int32_t*>(ids.data), matrix_of(table),
                         matrix_of(out), first_row, table.rows()});
}

struct AddPositions {
  const std::int32_t* positions;
  Matrix x, table, out;
  RowDropout dropout;
  std::int64_t rows, width;
  __device__ void operator()(const cuda::Pack& p) const {
    const std::int64_t position = positions[p.row];
    float v[kPack];
    float b[kPack];
    cuda::load(x, p.row, p.column, p.count, v);
    if (position >= 0 && position < rows) {
      cuda::load(table, position, p.column, p.count, b);
    } else {  // the host can't look at positions without waiting: NaN is found by whoever does
      for (float& value : b) value = std::numeric_limits<float>::quiet_NaN();
    }
    for (int k = 0; k < kPack; ++k) v[k] += b[k];
    if (dropout.active()) {
      float factors[kPack];
      cuda::dropout_factors(dropout, p.row, width, p.column, factors);
      for (int k = 0; k < kPack; ++k) v[k] *= factors[k];
    }
    cuda::store(out, p.row, p.column, p.count, v);
  }
};

void positions_forward(const TensorView& x, const TensorView& positions, const TensorView& table,
                       const RowDropout& dropout, const TensorView& out) {
  cuda::for_packs("add_positions", cuda::Packs(x.rows(), x.width()),
                  AddPositions{static_cast<const std::int32_t*>(positions.data), matrix_of(x),
                               matrix_of(table), matrix_of(out), dropout, table.rows(), x.width()});
}

constexpr int kIds = 4;  // that a lane looks at: 16 bytes

struct alignas(16) FourIds {
  std::int32_t value[kIds];
};

/// Which of the tokens [first, first + kIds) have this id, as bits.
__device__ unsigned with_id(const std::int32_t* ids, std::int64_t tokens, std::int64_t first,
                            std::int64_t id) {
  FourIds four;
  if (first + kIds <= tokens && cuda::is_aligned(ids + first))
    four = *reinterpret_cast<const FourIds*>(ids + first);
  else
    for (int k = 0; k < kIds; ++k) four.value[k] = first + k < tokens ? ids[first + k] : -1;
  unsigned found = 0;
  for (int k = 0; k < kIds; ++k) found |= static_cast<unsigned>(four.value[k] == id) << k;
  return found;
}

/// A warp owns 256 columns of one table row and looks through all ids: no order between threads is
/// needed, no buffer, and tokens are added in their order, as on the host.
__global__ void add_tokens(const std::int32_t* ids, std::int64_t tokens, Matrix d_out,
                           std::int64_t first_row, Matrix d_table, std::int64_t width,
                           bool accumulate) {
  const std::int64_t row = blockIdx.x;
  const auto lane = static_cast<int>(threadIdx.x);
  const std::int64_t column = (static_cast<std::int64_t>(blockIdx.y) * kWarp + lane) * kPack;
  const std::int64_t left = width - column;
  const int count = left >= kPack ? kPack : left > 0 ? static_cast<int>(left) : 0;
  float sum[kPack] = {};
  if (accumulate) cuda::load(d_table, row, column, count, sum);
  bool found = false;
  for (std::int64_t first = 0; first < tokens; first += kWarp * kIds) {
    const unsigned mine = with_id(ids, tokens, first + lane * kIds, first_row + row);
    unsigned lanes = __ballot_sync(0xffffffffu, mine != 0);
    found |= lanes != 0;
    for (; lanes != 0; lanes &= lanes - 1) {
      const int from = std::countr_zero(lanes);
      for (unsigned hits = __shfl_sync(0xffffffffu, mine, from); hits != 0; hits &= hits - 1) {
        float d[kPack];
        cuda::load(d_out, first + from * kIds + std::countr_zero(hits), column, count, d);
        for (int k = 0; k < kPack; ++k) sum[k] += d[k];
      }
    }
  }
  if (found || !accumulate) cuda::store(d_table, row, column, count, sum);
}

void backward(const TensorView& ids, const TensorView& d_out, std::int64_t first_row,
              const TensorView& d_table, bool accumulate) {
  const std::int64_t width = d_out.width();
  cuda::launch("embedding_backward", add_tokens,
               dim3(static_cast<unsigned>(d_table.rows()),
                    static_cast<unsigned>(cuda::blocks_for(width, kWarp * kPack))),
               kWarp, 0, static_cast<const std::int32_t*>(ids.data), d_out.rows(), matrix_of(d_out),
               first_row, matrix_of(d_table), width, accumulate);
}

}  // namespace

void provide_embedding(DeviceKernels& kernels) {
  kernels.embedding_forward = forward;
  kernels.add_positions = positions_forward;
  kernels.embedding_backward = backward;
}

}  // namespace trireme::kernels
