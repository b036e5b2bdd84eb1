#pragma once
// The loops of activations over rows of fp32, for one instruction set each. Private to
// kernels/activation.

#include "kernels/activation/activation.hpp"

#include <cstdint>

namespace trireme::kernels {

struct ActivationLoops {
  /// y[i] <- f(x[i] + bias[i]); bias null: none. y may be x.
  void (*forward)(const float* x, const float* bias, float* y, std::int64_t count);
  /// dx[i] <- dy[i] f'(x[i] + bias[i]). dx may be x or dy.
  void (*backward)(const float* x, const float* bias, const float* dy, float* dx,
                   std::int64_t count);
};

struct SwigluLoops {
  /// y[i] <- silu(gate[i]) up[i]. y may be either.
  void (*forward)(const float* gate, const float* up, float* y, std::int64_t count);
  /// d_gate may be gate or dy, d_up up.
  void (*backward)(const float* gate, const float* up, const float* dy, float* d_gate, float* d_up,
                   std::int64_t count);
};

// One function each a file that is compiled for one instruction set.
ActivationLoops activation_loops_avx2(Activation kind);
ActivationLoops activation_loops_avx512(Activation kind);
SwigluLoops swiglu_loops_avx2();
SwigluLoops swiglu_loops_avx512();

}  // namespace trireme::kernels
