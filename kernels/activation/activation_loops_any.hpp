// The loops of activation_loops.hpp for whatever the including file is compiled for: everything
// here has internal linkage.

#include "kernels/activation/activation_loops.hpp"
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

  static float held(float x) { return std::min(std::max(x, -12.0f), 12.0f); }
  static float gate(float h) {
    return vector_sigmoid(kTwoRoot * h * std::fma(kCubic * h, h, 1.0f));
  }
  static float value(float x) { return x * gate(held(x)); }
  static float slope(float x) {
    const float h = held(x);
    const float s = gate(h);
    const float inner = kTwoRoot * std::fma(3 * kCubic * h, h, 1.0f);
    return std::fma(h * s * (1.0f - s), inner, s);
  }
};

struct GeluErf {
  static float value(float x) { return x * vector_normal_cdf(x).phi; }
  static float slope(float x) {
    constexpr float kDensity = 0.3989422804f;  // 1 / sqrt(2 pi)
    const NormalCdf cdf = vector_normal_cdf(x);
    const float held = std::min(std::max(x, -14.0f), 14.0f);  // the density is 0 beyond
    return std::fma(held * kDensity, cdf.exponent, cdf.phi);
  }
};

struct Relu {
  static float value(float x) { return x < 0 ? 0.0f : x; }  // NaN stays NaN
  static float slope(float x) { return x > 0 ? 1.0f : 0.0f; }
};

struct Silu {
  static float value(float x) { return x * vector_sigmoid(x); }
  static float slope(float x) {
    const float s = vector_sigmoid(x);
    return std::fma(std::min(std::max(x, -100.0f), 100.0f), s * (1.0f - s), s);
  }
};

template <class F>
void forward(const float* x, const float* bias, float* y, std::int64_t count) {
  if (bias) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) y[i] = F::value(x[i] + bias[i]);
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) y[i] = F::value(x[i]);
  }
}

template <class F>
void backward(const float* x, const float* bias, const float* dy, float* dx, std::int64_t count) {
  if (bias) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) dx[i] = dy[i] * F::slope(x[i] + bias[i]);
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) dx[i] = dy[i] * F::slope(x[i]);
  }
}

void swiglu(const float* gate, const float* up, float* y, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = Silu::value(gate[i]) * up[i];
}

void swiglu_slopes(const float* gate, const float* up, const float* dy, float* d_gate, float* d_up,
                   std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = gate[i];
    const float u = up[i];
    const float d = dy[i];
    d_gate[i] = d * u * Silu::slope(g);
    d_up[i] = d * Silu::value(g);
  }
}

ActivationLoops loops_of(Activation kind) {
  switch (kind) {
    case Activation::gelu_tanh: return {forward<GeluTanh>, backward<GeluTanh>};
    case Activation::gelu_erf: return {forward<GeluErf>, backward<GeluErf>};
    case Activation::relu: return {forward<Relu>, backward<Relu>};
    case Activation::silu: break;
  }
  return {forward<Silu>, backward<Silu>};
}

}  // namespace
}  // namespace trireme::kernels
