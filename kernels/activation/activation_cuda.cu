#include "kernels/activation/functions.hpp"
#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::Matrix;
using cuda::matrix_of;
using cuda::Pack;
using cuda::Packs;

/// x + bias, zeros behind `count`.
__device__ void load_biased(const Matrix& x, const Matrix& bias, const Pack& p,
                            float (&out)[kPack]) {
  cuda::load(x, p.row, p.column, p.count, out);
  if (!bias.data) return;
  float added[kPack];
  cuda::load(bias, 0, p.column, p.count, added);
  for (int k = 0; k < kPack; ++k) out[k] += added[k];
}

template <class F>
struct Forward {
  Matrix x, bias, y;
  __device__ void operator()(const Pack& p) const {
    float v[kPack];
    load_biased(x, bias, p, v);
    for (float& value : v) value = F::value(value);
    cuda::store(y, p.row, p.column, p.count, v);
  }
};

template <class F>
struct Backward {
  Matrix x, bias, dy, dx;
  __device__ void operator()(const Pack& p) const {
    float v[kPack];
    float d[kPack];
    load_biased(x, bias, p, v);
    cuda::load(dy, p.row, p.column, p.count, d);
    for (int k = 0; k < kPack; ++k) d[k] *= F::slope(v[k]);
    cuda::store(dx, p.row, p.column, p.count, d);
  }
};

struct SwigluForward {
  Matrix x, y;
  std::int64_t width;
  __device__ void operator()(const Pack& p) const {
    float gate[kPack];
    float up[kPack];
    cuda::load(x, p.row, p.column, p.count, gate);
    cuda::load(x, p.row, width + p.column, p.count, up);
    for (int k = 0; k < kPack; ++k) up[k] = Silu::value(gate[k]) * up[k];
    cuda::store(y, p.row, p.column, p.count, up);
  }
};

struct SwigluBackward {
  Matrix x, dy, dx, y;  ///< y may be empty
  std::int64_t width;
  __device__ void operator()(const Pack& p) const {
    float gate[kPack];
    float up[kPack];
    float d[kPack];
    cuda::load(x, p.row, p.column, p.count, gate);
    cuda::load(x, p.row, width + p.column, p.count, up);
    cuda::load(dy, p.row, p.column, p.count, d);
    float out[kPack];
    for (int k = 0; k < kPack; ++k) {
      const float s = Silu::value(gate[k]);
      out[k] = s * up[k];
      gate[k] = d[k] * up[k] * Silu::slope(gate[k]);
      up[k] = d[k] * s;
    }
    if (y.data) cuda::store(y, p.row, p.column, p.count, out);
    cuda::store(dx, p.row, p.column, p.count, gate);
    cuda::store(dx, p.row, width + p.column, p.count, up);
  }
};

/// A bias belongs to columns: rows must stay rows.
Packs packs_of(const TensorView& x, const TensorView& bias,
               std::initializer_list<const TensorView*> views) {
  return bias ? Packs(x.rows(), x.width()) : Packs::of(views);
}

void forward(Activation kind, const TensorView& x, const TensorView& bias, const TensorView& y) {
  with_activation(kind, [&](auto function) {
    using F = decltype(function);
    cuda::for_packs("activation", packs_of(x, bias, {&x, &y}),
                    Forward<F>{matrix_of(x), matrix_of(bias), matrix_of(y)});
  });
}

void backward(Activation kind, const TensorView& x, const TensorView& bias, const TensorView& dy,
              const TensorView& dx) {
  with_activation(kind, [&](auto function) {
    using F = decltype(function);
    cuda::for_packs("activation_backward", packs_of(x, bias, {&x, &dy, &dx}),
                    Backward<F>{matrix_of(x), matrix_of(bias), matrix_of(dy), matrix_of(dx)});
  });
}

void glu_forward(const TensorView& x, const TensorView& y) {
  cuda::for_packs("swiglu", Packs(y.rows(), y.width()),
                  SwigluForward{matrix_of(x), matrix_of(y), y.width()});
}

void glu_backward(const TensorView& x, const TensorView& dy, const TensorView& dx,
                  const TensorView& y) {
  cuda::for_packs(
      "swiglu_backward", Packs(dy.rows(), dy.width()),
      SwigluBackward{matrix_of(x), matrix_of(dy), matrix_of(dx), matrix_of(y), dy.width()});
}

}  // namespace

void provide_activation(DeviceKernels& kernels) {
  kernels.activation_forward = forward;
  kernels.activation_backward = backward;
  kernels.swiglu_forward = glu_forward;
  kernels.swiglu_backward = glu_backward;
}

}  // namespace trireme::kernels
