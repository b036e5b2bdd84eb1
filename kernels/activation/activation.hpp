#pragma once
// Activation functions of the feed-forward part, forward and backward.
//
// Views are [tokens, width], host, each f32, bf16 or f16 with its own row stride; arithmetic is
// fp32. Calls return when the work is done; results do not depend on the number of threads. A shape
// or dtype that does not fit is a bug report.

#include "kernels/base/tensor_view.hpp"

#include <cstdint>

namespace trireme::kernels {

/// gelu_erf:  x Phi(x)                                       Hendrycks, Gimpel, arXiv 1606.08415 s.
/// 2 gelu_tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))  same, what GPT-2 uses relu: max(x,
/// 0) silu:      x / (1 + exp(-x))
enum class Activation : std::uint8_t { gelu_tanh, gelu_erf, relu, silu };

/// y <- f(x + bias); bias [width], or empty. y may be x (when backward does not need
/// it).
void activation_forward(Activation kind, const TensorView& x, const TensorView& bias,
                        const TensorView& y);

/// dx <- dy f'(x + bias). dx may be dy or x. The gradient of the bias is column_sums(dx).
void activation_backward(Activation kind, const TensorView& x, const TensorView& bias,
                         const TensorView& dy, const TensorView& dx);

/// SwiGLU, Shazeer, arXiv 2002.05202 eq. 6 without biases: x = [tokens, 2 f] holds gate | up,
/// y [tokens, f] <- silu(gate) * up.
void swiglu_forward(const TensorView& x, const TensorView& y);

/// dx [tokens, 2 f] <- d gate | d up from dy [tokens, f]. dx may be x. `y`, when not empty,
/// receives silu(gate) * up again in the same pass, so that a layer that keeps x need not keep y;
/// y must not be dy.
void swiglu_backward(const TensorView& x, const TensorView& dy, const TensorView& dx,
                     const TensorView& y = {});

}  // namespace trireme::kernels
