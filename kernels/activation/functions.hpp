#pragma once
// The activation functions and their slopes, for host and device kernels alike. Private to
// kernels/.

#include "kernels/activation/activation.hpp"
#include "kernels/base/vector_math.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::kernels {
namespace {

/// x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). Beyond |x| = 12 the sigmoid
/// is 0 or 1 in fp32; holding x there keeps the slope free of 0 * infinity.
struct GeluTanh {
  static constexpr float kTwoRoot = 1.5957691216f;  // 2 sqrt(2/pi)
  static constexpr float kCubic = 0.044715f;

  static constexpr float held(float x) { return std::min(std::max(x, -12.0f), 12.0f); }
  static constexpr float gate(float h) {
    return vector_sigmoid(kTwoRoot * h * std::fma(kCubic * h, h, 1.0f));
  }
  static constexpr float value(float x) { return x * gate(held(x)); }
  static constexpr float slope(float x) {
    const float h = held(x);
    const float s = gate(h);
    const float inner = kTwoRoot * std::fma(3 * kCubic * h, h, 1.0f);
    return std::fma(h * s * (1.0f - s), inner, s);
  }
};

struct GeluErf {
  static constexpr float value(float x) { return x * vector_normal_cdf(x).phi; }
  static constexpr float slope(float x) {
    constexpr float kDensity = 0.3989422804f;  // 1 / sqrt(2 pi)
    const NormalCdf cdf = vector_normal_cdf(x);
    const float held = std::min(std::max(x, -14.0f), 14.0f);  // the density is 0 beyond
    return std::fma(held * kDensity, cdf.exponent, cdf.phi);
  }
};

struct Relu {
  static constexpr float value(float x) { return x < 0 ? 0.0f : x; }  // NaN stays NaN
  static constexpr float slope(float x) { return x > 0 ? 1.0f : 0.0f; }
};

struct Silu {
  static constexpr float value(float x) { return x * vector_sigmoid(x); }
  static constexpr float slope(float x) {
    const float s = vector_sigmoid(x);
    return std::fma(std::min(std::max(x, -100.0f), 100.0f), s * (1.0f - s), s);
  }
};

/// Calls f with the functions of this kind.
template <class F>
void with_activation(Activation kind, const F& f) {
  switch (kind) {
    case Activation::gelu_tanh: return f(GeluTanh{});
    case Activation::gelu_erf: return f(GeluErf{});
    case Activation::relu: return f(Relu{});
    case Activation::silu: return f(Silu{});
  }
}

}  // namespace
}  // namespace trireme::kernels
