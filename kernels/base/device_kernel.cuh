#pragma once
// What all device kernels are written with: packs of eight elements, launches, sums over a block.
// Private to the .cu files of kernels/.
//
// Formulas are those of the host, from headers that both compile (constexpr functions count as
// device code: --expt-relaxed-constexpr); multiply-adds are explicit here too (--fmad=false).
// Nothing adds floats atomically: the same call gives the same bits. The files are also compiled
// for the emulator of validation/emulation, which runs them without a GPU; so no <<< >>>.

#include "kernels/base/device.hpp"
#include "kernels/base/device_cuda.hpp"
#include "kernels/base/tensor_view.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace trireme::cuda {

inline constexpr int kPack = 8;  ///< elements a thread moves at a time: 16 bytes of a 16-bit type
inline constexpr int kThreads = 256;  ///< of a block, unless a kernel says otherwise
inline constexpr int kWarp = 32;

constexpr std::int64_t blocks_for(std::int64_t items, std::int64_t each) {
  return (items + each - 1) / each;
}

// ---- rows of any floating dtype, read and written as fp32
// ------------------------------------------

/// A view as a kernel's argument; `data` null where the view is empty.
struct Matrix {
  std::byte* data;
  std::int64_t stride;
  DType dtype;
};
inline Matrix matrix_of(const TensorView& view) {
  if (!view) return {nullptr, 0, DType::f32};
  return {static_cast<std::byte*>(view.data), view.stride(), view.dtype};
}

struct alignas(16) FourFloats {
  float value[4];
};
struct alignas(16) EightHalves {
  std::uint16_t value[8];
};

template <class T>
__device__ inline bool is_aligned(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

__device__ inline float widened(std::uint16_t bits, DType type) {
  return type == DType::bf16 ? std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16)
                             : __half2float(__ushort_as_half(bits));
}
__device__ inline std::uint16_t rounded(float value, DType type) {
  return type == DType::bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(value))
                             : __half_as_ushort(__float2half_rn(value));
}

/// `count` <= kPack elements of a row from `column` on; zeros behind them.
__device__ inline void load(const Matrix& x, std::int64_t row, std::int64_t column, int count,
                            float (&out)[kPack]) {
  const std::int64_t at = row * x.stride + column;
  if (x.dtype == DType::f32) {
    const float* p = reinterpret_cast<const float*>(x.data) + at;
    if (count == kPack && is_aligned(p)) {
      const FourFloats low = reinterpret_cast<const FourFloats*>(p)[0];
      const FourFloats high = reinterpret_cast<const FourFloats*>(p)[1];
      for (int k = 0; k < 4; ++k) out[k] = low.value[k];
      for (int k = 0; k < 4; ++k) out[k + 4] = high.value[k];
    } else {
      for (int k = 0; k < kPack; ++k) out[k] = k < count ? p[k] : 0.0f;
    }
    return;
  }
  const std::uint16_t* p = reinterpret_cast<const std::uint16_t*>(x.data) + at;
  if (count == kPack && is_aligned(p)) {
    const EightHalves all = *reinterpret_cast<const EightHalves*>(p);
    for (int k = 0; k < kPack; ++k) out[k] = widened(all.value[k], x.dtype);
  } else {
    for (int k = 0; k < kPack; ++k) out[k] = k < count ? widened(p[k], x.dtype) : 0.0f;
  }
}

__device__ inline void store(const Matrix& x, std::int64_t row, std::int64_t column, int count,
                             const float (&in)[kPack]) {
  const std::int64_t at = row * x.stride + column;
  if (x.dtype == DType::f32) {
    float* p = reinterpret_cast<float*>(x.data) + at;
    if (count == kPack && is_aligned(p)) {
      FourFloats low;
      FourFloats high;
      for (int k = 0; k < 4; ++k) low.value[k] = in[k];
      for (int k = 0; k < 4; ++k) high.value[k] = in[k + 4];
      reinterpret_cast<FourFloats*>(p)[0] = low;
      reinterpret_cast<FourFloats*>(p)[1] = high;
    } else {
      for (int k = 0; k < kPack; ++k)
        if (k < count) p[k] = in[k];
    }
    return;
  }
  std::uint16_t* p = reinterpret_cast<std::uint16_t*>(x.data) + at;
  if (count == kPack && is_aligned(p)) {
    EightHalves all;
    for (int k = 0; k < kPack; ++k) all.value[k] = rounded(in[k], x.dtype);
    *reinterpret_cast<EightHalves*>(p) = all;
  } else {
    for (int k = 0; k < kPack; ++k)
      if (k < count) p[k] = rounded(in[k], x.dtype);
  }
}

/// What `values` become when they are stored as `type` and read again.
__device__ inline void round_to(DType type, float (&values)[kPack]) {
  if (type == DType::f32) return;
  for (int k = 0; k < kPack; ++k) values[k] = widened(rounded(values[k], type), type);
}

// ---- launches
// --------------------------------------------------------------------------------------

/// Starts kernel(arguments...) in the current stream with `shared` bytes of dynamic shared memory.
template <class... Parameters, class... Arguments>
void launch(const char* what, void (*kernel)(Parameters...), dim3 blocks, int threads,
            std::size_t shared, Arguments&&... arguments) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared;
  config.stream = static_cast<cudaStream_t>(current_stream().handle());
  expect_cuda(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), what);
}

/// [rows, width] cut into packs that do not cross rows.
struct Packs {
  std::int64_t width;
  std::int64_t per_row;
  std::int64_t count;

  Packs(std::int64_t rows, std::int64_t columns)
      : width(columns), per_row(blocks_for(columns, kPack)), count(rows * per_row) {}
  /// Of views of one shape; dense ones are cut as if they were one long row.
  static Packs of(std::initializer_list<const TensorView*> views) {
    const TensorView& first = **views.begin();
    const bool dense = std::all_of(views.begin(), views.end(), [](const TensorView* v) {
      return v->stride() == v->width() || v->rows() == 1;
    });
    return dense ? Packs(1, first.elements()) : Packs(first.rows(), first.width());
  }
};

struct Pack {
  std::int64_t row;
  std::int64_t column;
  int count;
};

__device__ inline Pack pack_at(const Packs& packs, std::int64_t i) {
  // 32-bit division where it will do: it costs a tenth.
  const std::int64_t row =
      packs.count <= 0xffffffffll
          ? static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(packs.per_row)
          : i / packs.per_row;
  const std::int64_t column = (i - row * packs.per_row) * kPack;
  const std::int64_t left = packs.width - column;
  return {row, column, left < kPack ? static_cast<int>(left) : kPack};
}

__device__ inline std::int64_t thread_of_grid() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/// body(pack) for every pack, one a thread.
template <class Body>
__global__ void each_pack(Packs packs, Body body) {
  const std::int64_t i = thread_of_grid();
  if (i < packs.count) body(pack_at(packs, i));
}

/// body(pack) for each of the packs that fall to this thread of a grid of any size: what kernels
/// that make few numbers of a whole tensor go through.
template <class Body>
__device__ void for_own_packs(const Packs& packs, const Body& body) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = thread_of_grid(); i < packs.count; i += step) body(pack_at(packs, i));
}

template <class Body>
void for_packs(const char* what, const Packs& packs, const Body& body) {
  launch(what, each_pack<Body>, dim3(static_cast<unsigned>(blocks_for(packs.count, kThreads))),
         kThreads, 0, packs, body);
}

/// The block's dynamic shared memory.
__device__ inline float* dynamic_shared() {
  extern __shared__ float dynamic_shared_memory[];
  return dynamic_shared_memory;
}

// ---- sums over a block
// -----------------------------------------------------------------------------

/// join over the values of all threads of the block, which all get it, in an order that the number
/// of threads fixes (whole warps). `join` is associative up to rounding and commutative.
template <class T, class Join>
__device__ T block_join(T value, const Join& join) {
  __shared__ T partial[kWarp];
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value = join(value, __shfl_xor_sync(0xffffffffu, value, distance));
  const unsigned warps = blockDim.x / kWarp;
  if (warps == 1) return value;
  __syncthreads();  // partial sums of an earlier call have been read
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  T all = partial[0];
  for (unsigned w = 1; w < warps; ++w) all = join(all, partial[w]);
  return all;
}

struct Add {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a + b;
  }
};
template <class T>
__device__ T block_sum(T value) {
  return block_join(value, Add{});
}

}  // namespace trireme::cuda
