#pragma once
// Dense products. Backed by oneDNN; where the CPU has no 16-bit products, operands are widened to
// fp32 tile by tile and the products run in fp32, so every dtype works everywhere.

#include "kernels/base/tensor_view.hpp"

#include <cstdint>
#include <string>

namespace trireme::kernels {

struct GemmOptions {
  bool transpose_a = false;  ///< a is stored [k, m]
  bool transpose_b = false;  ///< b is stored [n, k]: the weight of a linear layer
  float alpha = 1;           ///< factor on the product, not on c or bias
  bool accumulate = false;   ///< c += instead of c =
  bool tf32 = false;         ///< on a GPU: f32 operands are rounded to tf32 (10 bits of mantissa)
  TensorView bias = {};      ///< optional [n], added to every row; dtype of b, or f32; not with
                             ///< alpha or accumulate
};

/// c[m, n] = alpha op(a)[m, k] op(b)[k, n] (+ bias[n]) (+ c).
/// Leading dims of a view are rows: [batch, seq, width] is [batch*seq, width]. Rows may be strided
/// (TensorView::row_stride), so column slices of packed tensors are valid for all three.
/// dtypes: a and b alike, f32, bf16 or f16; c of the same dtype or f32 (weight gradients are
/// accumulated in f32). Sums run in fp32. Synchronous in host memory; in device memory in the
/// current stream, by cuBLASLt. No operand may overlap c. A
/// wrong shape or dtype is a bug and throws Exit::kUnexpected. Same build, instruction set, threads
/// and shape: same bits.
void gemm(const TensorView& c, const TensorView& a, const TensorView& b,
          const GemmOptions& options = {});

/// Device memory that gemm() works in besides its operands, bytes: what the fastest kernels of
/// cuBLASLt ask for on Hopper, lent to every product. Here and below: on the host none.
inline constexpr std::int64_t kGemmWorkspace = std::int64_t{32} << 20;

/// Formats in which the operands of a product are quantised: gradients want e5m2, the rest e4m3.
struct Fp8Formats {
  DType a = DType::e4m3;
  DType b = DType::e4m3;  ///< not both e5m2
};

/// gemm() of a and b rounded to fp8, each with a scale of its own (fp8/fp8.hpp). Numbers of 8 bits
/// have products and scales that are exact. Sums run in fp32 on the host; Hopper's tensor cores
/// keep about 14 bits of a few sums and add those in fp32 (DeepSeek-AI, arXiv 2412.19437,
/// section 3.3.2). On the host the rounded operands are multiplied in the dtype they came in; on a
/// GPU (Ada, Hopper or later: see expect_fp8_products) in fp8, for which n must be a multiple of
/// 16, here and there. Infinity or NaN in an operand makes the whole result NaN.
void gemm_fp8(const TensorView& c, const TensorView& a, const TensorView& b,
              const Fp8Formats& formats, const GemmOptions& options = {});

/// Device memory that gemm_fp8() works in, bytes: gemm()'s, and its rounded operands op(a) [m, k]
/// and op(b) [k, n].
std::int64_t gemm_fp8_workspace(std::int64_t m, std::int64_t n, std::int64_t k);

/// Throws Exit::kUsage where fp8 products can't run: in `space` device, on a GPU before compute
/// capability 8.9.
void expect_fp8_products(MemorySpace space);

/// How products of this dtype run here: "oneDNN avx512_core_bf16", "fp32 products of widened
/// tiles (oneDNN avx2)". Found out by trying, once a process. On a device its name: "NVIDIA H200".
std::string gemm_path(DType dtype, MemorySpace space = MemorySpace::host);

/// Best flop/s of a few large products ([1024 x 1024 x 1024] to [2048 x 3072 x 1024]) repeated for
/// about `seconds` with this thread's team: the peak that utilisation is measured against. In less
/// time than they take, of the smallest alone. On a device of [4096 x 4096 x 4096] to
/// [8192 x 8192 x 8192], in the current stream, and of operands rounded to tf32 on request.
/// Operands are random numbers: a GPU multiplies zeros with less power, so faster than any training
/// could. f32, bf16 or f16.
double measure_gemm_peak(DType dtype, double seconds, MemorySpace space = MemorySpace::host,
                         bool tf32 = false);

}  // namespace trireme::kernels
