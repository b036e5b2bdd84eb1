#pragma once
// The activation functions in float64, for tests of kernels that compute them.

#include "kernels/activation/activation.hpp"

#include <cmath>
#include <numbers>

namespace trireme::validation {

inline constexpr kernels::Activation kActivations[] = {
    kernels::Activation::gelu_tanh, kernels::Activation::gelu_erf, kernels::Activation::relu,
    kernels::Activation::silu};

inline double activation_value(kernels::Activation kind, double x) {
  using kernels::Activation;
  switch (kind) {
    case Activation::gelu_tanh: {
      const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1 + std::tanh(u));
    }
    case Activation::gelu_erf: return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::relu: return x > 0 ? x : 0;
    case Activation::silu: return x / (1 + std::exp(-x));
  }
  return 0;
}

/// By a difference.
inline double activation_slope(kernels::Activation kind, double x) {
  if (kind == kernels::Activation::relu) return x > 0 ? 1 : 0;  // no difference across the kink
  constexpr double kStep = 1e-5;
  return (activation_value(kind, x + kStep) - activation_value(kind, x - kStep)) / (2 * kStep);
}

}  // namespace trireme::validation
