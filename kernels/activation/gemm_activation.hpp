#pragma once
// A product with an activation behind it, and the product that makes an activation's gradient:
// where the two meet in a feed-forward layer. Views, errors and workspace as gemm.hpp says.

#include "kernels/activation/activation.hpp"
#include "kernels/gemm/gemm.hpp"

namespace trireme::kernels {

/// A product and the activation behind it: x[m, n] = op(a) op(b) (+ bias), y[m, n] = f(x); x is
/// kept for backward. Bits of gemm() and activation_forward(), except on a GPU where cuBLASLt does
/// both in one pass (GELU with tanh, x and y of one dtype, rows of x 8 elements, their first and
/// the bias 16 bytes aligned): there f takes the sum before it is rounded to x. Neither accumulate
/// nor alpha; otherwise as gemm(). y, x and the operands do not overlap.
void gemm_activation(const TensorView& y, const TensorView& x, const TensorView& a,
                     const TensorView& b, Activation kind, const GemmOptions& options = {});

/// Its backward: dx[m, n] = op(a) op(b) times f'(x), the gradient of what f took from the product
/// that makes the gradient of what f gave. Bits of gemm() and activation_backward() in place,
/// except where cuBLASLt multiplies before it rounds (as above). No bias, accumulate or alpha; dx
/// is not x. The bias's gradient is column_sums(dx): cuBLASLt's own (BGRAD) is of dx's type and
/// overwrites, ours f32 and added to.
void gemm_activation_slope(const TensorView& dx, const TensorView& x, const TensorView& a,
                           const TensorView& b, Activation kind, const GemmOptions& options = {});

}  // namespace trireme::kernels
