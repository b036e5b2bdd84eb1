// The loops of activation_loops.hpp for whatever the including file is compiled for: everything
// here has internal linkage.

#include "kernels/activation/activation_loops.hpp"
#include "kernels/activation/functions.hpp"

namespace trireme::kernels {
namespace {

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
