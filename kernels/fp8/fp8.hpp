#pragma once
// Tensors in 8-bit floating point with one scale each, the operands of gemm_fp8 (gemm/gemm.hpp).
// Formats and their use: Micikevicius et al., FP8 Formats for Deep Learning, arXiv 2209.05433,
// sections 3 and 4 (e4m3 for weights and activations, e5m2 for gradients, a scale a tensor).
//
// The scale is that of the tensor as it is ("current scaling"), not of its predecessors in earlier
// steps ("delayed"): one more pass over the tensor, and no state. So a resumed run and a recomputed
// activation have the bits of the first time, and a checkpoint has nothing to hold.
//
// Scales are powers of two: numbers are divided without rounding, and the rounding to 8 bits is
// that of each element alone unless it lies far (2^14 in e4m3, 2^29 in e5m2) below the largest.
// Ranks that hold parts of a tensor therefore quantise them as one rank would, each with its scale.

#include "kernels/base/float8.hpp"
#include "kernels/base/tensor_view.hpp"

namespace trireme::kernels {

/// Rows of an Fp8Tensor begin at multiples of this many bytes, as fast products want them.
inline constexpr std::int64_t kFp8Alignment = 16;

struct Fp8Scale {
  float unscale = 1;  ///< what 1 in the tensor stands for
  float largest = 0;  ///< |x| of the source
};

struct Fp8Tensor {
  TensorView values;  ///< e4m3 or e5m2 [rows, width]; memory and stride multiples of kFp8Alignment
  Fp8Scale* scale = nullptr;  ///< in the same memory space
};

/// out.values <- x / unscale, rounded to nearest, ties to even; what lies between width and stride
/// becomes 0. x: [rows, width], f32, bf16 or f16; with `transpose` out.values is [width, rows].
/// unscale is the power of two that brings the largest |x| into the upper binade of the format, so
/// that nothing saturates; 1 for a tensor of zeros. Infinity or NaN in x makes it NaN, and so every
/// product with the tensor. Same bits on host and device, where it works in the current stream.
void quantize(const TensorView& x, const Fp8Tensor& out, bool transpose = false);

}  // namespace trireme::kernels
