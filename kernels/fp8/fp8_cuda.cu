// Two passes: the largest element of the tensor, then its conversion by the processor's own
// instruction, sixteen elements a thread.

#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"
#include "kernels/fp8/fp8_cuda.hpp"
#include "kernels/fp8/scale.hpp"

#include <cuda_fp8.h>

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::kThreads;
using cuda::Matrix;
using cuda::matrix_of;
using cuda::Packs;

constexpr int kWide = 16;  // elements a thread converts: 16 bytes
constexpr std::int64_t kMostBlocks = 1024;

struct alignas(kWide) Bytes {
  std::uint8_t value[kWide];
};

/// The bits of a positive float order like the float.
__device__ std::uint32_t* largest_of(Fp8Scale* scale) {
  return reinterpret_cast<std::uint32_t*>(&scale->largest);
}

struct Max {
  constexpr std::uint32_t operator()(std::uint32_t a, std::uint32_t b) const {
    return a < b ? b : a;
  }
};

/// scale->largest, which was 0, becomes the largest magnitude; a maximum has no order.
__global__ void find_largest(Matrix x, Packs packs, Fp8Scale* scale) {
  std::uint32_t most = 0;
  cuda::for_own_packs(packs, [&](const cuda::Pack& p) {
    float v[kPack];
    cuda::load(x, p.row, p.column, p.count, v);
    for (const float value : v) most = Max{}(most, magnitude_bits(value));
  });
  most = cuda::block_join(most, Max{});
  if (threadIdx.x == 0) atomicMax(largest_of(scale), most);
}

/// Elements [column, column + kWide) of a row of x in fp8, zeros behind its end.
__device__ Bytes converted(const Matrix& x, std::int64_t row, std::int64_t column,
                           std::int64_t width, float scale, DType format) {
  Bytes out;
  for (int half = 0; half < kWide; half += kPack) {
    const std::int64_t left = width - column - half;
    float v[kPack];
    cuda::load(x, row, column + half,
               left < 0       ? 0
               : left < kPack ? static_cast<int>(left)
                              : kPack,
               v);
    for (int k = 0; k < kPack; ++k)
      out.value[half + k] = __nv_cvt_float_to_fp8(v[k] * scale, __NV_SATFINITE,
                                                  format == DType::e4m3 ? __NV_E4M3 : __NV_E5M2);
  }
  return out;
}

/// One thread: what the found scale means to whoever multiplies the values.
__device__ void tell(Fp8Scale* scale, const Fp8Factors& factors) {
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) scale->unscale = factors.unscale;
}

__global__ void convert(Matrix x, std::int64_t rows, std::int64_t width, Matrix out,
                        Fp8Scale* scale) {
  const Fp8Factors factors = fp8_factors(*largest_of(scale), out.dtype);
  tell(scale, factors);
  const std::int64_t per_row = out.stride / kWide;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= rows * per_row) return;
  const std::int64_t row = i / per_row;
  const std::int64_t column = (i - row * per_row) * kWide;
  *reinterpret_cast<Bytes*>(out.data + row * out.stride + column) =
      converted(x, row, column, width, factors.scale, out.dtype);
}

constexpr int kTile = 64;                   // rows and columns of a block's tile
constexpr int kPerRow = kTile / kWide;      // threads that share a row of it
constexpr int kTileStride = kTile + kWide;  // 16-byte reads, and fewer conflicts of banks
static_assert(kTile * kPerRow == kThreads);

/// Tiles go through shared memory: rows of x are read, columns of it written, 16 bytes at a time.
__global__ void convert_transposed(Matrix x, std::int64_t rows, std::int64_t width, Matrix out,
                                   Fp8Scale* scale) {
  __shared__ Bytes tile[kTile * kTileStride / kWide];
  const Fp8Factors factors = fp8_factors(*largest_of(scale), out.dtype);
  tell(scale, factors);
  const auto line = static_cast<int>(threadIdx.x) / kPerRow;
  const auto part = static_cast<int>(threadIdx.x) % kPerRow * kWide;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * kTile;
  const std::int64_t first_column = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const std::int64_t row = first_row + line;
  const Bytes in = converted(x, row < rows ? row : 0, first_column + part, row < rows ? width : 0,
                             factors.scale, out.dtype);
  auto* bytes = reinterpret_cast<std::uint8_t*>(tile);
  for (int k = 0; k < kWide; ++k) bytes[(part + k) * kTileStride + line] = in.value[k];
  __syncthreads();
  if (first_column + line >= width || first_row + part >= out.stride) return;
  *reinterpret_cast<Bytes*>(out.data + (first_column + line) * out.stride + first_row + part) =
      tile[(line * kTileStride + part) / kWide];
}

}  // namespace

void quantize_on_device(const TensorView& x, const Fp8Tensor& out, bool transpose) {
  cudaStream_t stream = static_cast<cudaStream_t>(current_stream().handle());
  expect_cuda(cudaMemsetAsync(out.scale, 0, sizeof(*out.scale), stream), "quantize");
  const Packs packs = Packs::of({&x});
  const std::int64_t blocks = std::min(kMostBlocks, cuda::blocks_for(packs.count, kThreads));
  cuda::launch("quantize", find_largest, dim3(static_cast<unsigned>(blocks)), kThreads, 0,
               matrix_of(x), packs, out.scale);
  const Matrix values = matrix_of(out.values);
  if (transpose) {
    const dim3 tiles(static_cast<unsigned>(cuda::blocks_for(x.width(), kTile)),
                     static_cast<unsigned>(cuda::blocks_for(values.stride, kTile)));
    cuda::launch("quantize", convert_transposed, tiles, kThreads, 0, matrix_of(x), x.rows(),
                 x.width(), values, out.scale);
  } else {
    const std::int64_t chunks = x.rows() * values.stride / kWide;
    cuda::launch("quantize", convert,
                 dim3(static_cast<unsigned>(cuda::blocks_for(chunks, kThreads))), kThreads, 0,
                 matrix_of(x), x.rows(), x.width(), values, out.scale);
  }
}

void provide_fp8(DeviceKernels& kernels) { kernels.quantize = quantize_on_device; }

}  // namespace trireme::kernels
