#pragma once
// LayerNorm and RMSNorm, alone and fused with the residual addition before them.
//
//   layer: y = (x - mean) rstd gamma + beta,  rstd = 1 / sqrt(var + eps)   Ba et al., arXiv
//          1607.06450 eq. 4 (var with 1 / width)
//   rms:   y = x rstd gamma,  rstd = 1 / sqrt(mean(x^2) + eps)             Zhang, Sennrich, arXiv
//          1910.07467 eq. 4
//
// Activations are [tokens, width], host, each view f32, bf16 or f16 (usually all one dtype) with
// its own row stride; gamma and beta [width] f32, bf16 or f16; statistics are f32; gradients of
// gamma, beta and biases are f32 [width]. Arithmetic is fp32. Calls return when the work is done.
// Results are the same bits for any number of threads. A shape or dtype that does not fit is a bug
// report.
//
// Groups. gamma [group] with group < width norms every run of `group` columns on its own: q/k norm
// (Henry et al., arXiv 2010.04245 with RMSNorm) is norm_forward on column_slice(q) of the packed
// projection [tokens, (heads + 2 kv) head_dim] with gamma [head_dim]. Statistics are then
// [tokens * width / group], dense.

#include "kernels/base/tensor_view.hpp"
#include "kernels/elementwise/row_dropout.hpp"

#include <cstdint>

namespace trireme::kernels {

enum class NormKind : std::uint8_t { layer, rms };

struct Norm {
  NormKind kind = NormKind::layer;
  float epsilon = 1e-5f;
  TensorView gamma;  ///< [group]
  TensorView beta;   ///< [group]; empty for rms
};

/// What backward needs besides x. One value a row and group, f32.
struct NormStatistics {
  TensorView mean;  ///< [tokens * groups]; empty for rms
  TensorView rstd;  ///< [tokens * groups]
};

/// y <- norm(x). y may be x.
void norm_forward(const Norm& norm, const TensorView& x, const TensorView& y,
                  const NormStatistics& saved);

/// The addition before a norm, or at the end of a block: out = x + dropout(delta + bias).
struct Residual {
  TensorView delta;    ///< [tokens, width]
  TensorView bias;     ///< [width] of the same dtype, or empty
  RowDropout dropout;  ///< inactive: none
};

/// out <- x + dropout(delta + bias); out may be x or delta. Backward: d x is d out itself, d delta
/// is apply_dropout(d out) with the same RowDropout, the bias's gradient is column_sums(d delta).
void residual_forward(const Residual& residual, const TensorView& x, const TensorView& out);

/// In one pass: out as residual_forward, then y <- norm(out), of the rounded `out` that the next
/// layer sees: the bits of the two calls.
void residual_norm_forward(const Norm& norm, const Residual& residual, const TensorView& x,
                           const TensorView& out, const TensorView& y, const NormStatistics& saved);

/// Gradients of gamma and beta, f32 [group]; empty views are not computed (frozen weights).
struct NormGradients {
  TensorView gamma;
  TensorView beta;          ///< empty for rms
  bool accumulate = false;  ///< add to what is there; false overwrites
};

/// dx <- (skip +) d norm / dx, from the norm's input x, dy and the saved statistics. `skip`, when
/// not empty, is the gradient that reaches x past the norm (the residual branch) and is added in
/// the same pass, in fp32 before rounding. dx may be dy or skip. Formulas: the derivatives of the
/// two above; with n = (x - mean) rstd and g = dy gamma,
///   layer: dx = rstd (g - mean(g) - n mean(g n)),  rms: dx = rstd (g - n mean(g n)).
void norm_backward(const Norm& norm, const TensorView& x, const TensorView& dy,
                   const NormStatistics& saved, const TensorView& skip, const TensorView& dx,
                   const NormGradients& gradients);

/// Device memory that norm_backward() of `groups` rows, or groups of columns, of `group` elements
/// works in, bytes: a few MiB at most. On the host none.
std::int64_t norm_backward_workspace(std::int64_t groups, std::int64_t group);

}  // namespace trireme::kernels
