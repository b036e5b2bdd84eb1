#include "kernels/activation/activation.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/vector_math.hpp"
#include "kernels/elementwise/row_access.hpp"

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
void with_activation(Activation kind, const F& f) {
  switch (kind) {
    case Activation::gelu_tanh: return f(GeluTanh{});
    case Activation::gelu_erf: return f(GeluErf{});
    case Activation::relu: return f(Relu{});
    case Activation::silu: return f(Silu{});
  }
}

/// The bias in fp32, in memory of `frame` where it is 16 bits wide; null without one.
const float* bias_of(const TensorView& bias, std::int64_t width, ScratchFrame& frame) {
  if (!bias) return nullptr;
  expect_floating(bias, "an activation's bias");
  check(bias.elements() == width, Exit::kUnexpected,
        "a bias of {} elements does not fit {} columns", bias.elements(), width);
  return read_row(bias, 0, 0, width, frame.take<float>(width));
}

/// Calls f(piece, three buffers of a piece's width) in parallel over [rows, width].
template <class F>
void for_pieces(const char* label, std::int64_t rows, std::int64_t width, const F& f) {
  const Pieces pieces(rows, width);
  for_rows(label, pieces.count(), Pieces::kGrain, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float buffers[3][Pieces::kWidest];
    for (std::int64_t i = begin; i < end; ++i) f(pieces[i], buffers);
  });
}

}  // namespace

void activation_forward(Activation kind, const TensorView& x, const TensorView& bias,
                        const TensorView& y) {
  expect_floating(x, "an activation's input");
  expect_like(y, x, "an activation's output");
  ScratchFrame frame;
  const float* b = bias_of(bias, x.width(), frame);
  with_activation(kind, [&](auto function) {
    using F = decltype(function);
    for_pieces("activation", x.rows(), x.width(), [&](const auto& p, auto& buffers) {
      const float* in = read_row(x, p.row, p.column, p.count, buffers[0]);
      float* out = row_target(y, p.row, p.column, buffers[0]);
      const float* add = b ? b + p.column : nullptr;
      if (add) {
#pragma omp simd
        for (std::int64_t i = 0; i < p.count; ++i) out[i] = F::value(in[i] + add[i]);
      } else {
#pragma omp simd
        for (std::int64_t i = 0; i < p.count; ++i) out[i] = F::value(in[i]);
      }
      finish_row(y, p.row, p.column, p.count, buffers[0]);
    });
  });
}

void activation_backward(Activation kind, const TensorView& x, const TensorView& bias,
                         const TensorView& dy, const TensorView& dx) {
  expect_floating(x, "an activation's input");
  expect_like(dy, x, "the gradient of an activation's output");
  expect_like(dx, x, "the gradient of an activation's input");
  ScratchFrame frame;
  const float* b = bias_of(bias, x.width(), frame);
  with_activation(kind, [&](auto function) {
    using F = decltype(function);
    for_pieces("activation_backward", x.rows(), x.width(), [&](const auto& p, auto& buffers) {
      const float* in = read_row(x, p.row, p.column, p.count, buffers[0]);
      const float* d_out = read_row(dy, p.row, p.column, p.count, buffers[1]);
      float* d_in = row_target(dx, p.row, p.column, buffers[0]);
      const float* add = b ? b + p.column : nullptr;
      if (add) {
#pragma omp simd
        for (std::int64_t i = 0; i < p.count; ++i) d_in[i] = d_out[i] * F::slope(in[i] + add[i]);
      } else {
#pragma omp simd
        for (std::int64_t i = 0; i < p.count; ++i) d_in[i] = d_out[i] * F::slope(in[i]);
      }
      finish_row(dx, p.row, p.column, p.count, buffers[0]);
    });
  });
}

void swiglu_forward(const TensorView& x, const TensorView& y) {
  expect_floating(x, "SwiGLU's input");
  expect_floating(y, "SwiGLU's output");
  const std::int64_t width = y.width();
  check(x.rows() == y.rows() && x.width() == 2 * width, Exit::kUnexpected,
        "SwiGLU takes [tokens, 2 f] to [tokens, f], not {} to {}", x.shape.text(), y.shape.text());
  for_pieces("swiglu", y.rows(), width, [&](const auto& p, auto& buffers) {
    const float* gate = read_row(x, p.row, p.column, p.count, buffers[0]);
    const float* up = read_row(x, p.row, width + p.column, p.count, buffers[1]);
    float* out = row_target(y, p.row, p.column, buffers[2]);
#pragma omp simd
    for (std::int64_t i = 0; i < p.count; ++i) out[i] = Silu::value(gate[i]) * up[i];
    finish_row(y, p.row, p.column, p.count, buffers[2]);
  });
}

void swiglu_backward(const TensorView& x, const TensorView& dy, const TensorView& dx,
                     const TensorView& y) {
  expect_floating(dy, "the gradient of SwiGLU's output");
  expect_floating(x, "SwiGLU's input");
  expect_like(dx, x, "the gradient of SwiGLU's input");
  if (y) expect_like(y, dy, "SwiGLU's output");
  const std::int64_t width = dy.width();
  check(x.rows() == dy.rows() && x.width() == 2 * width, Exit::kUnexpected,
        "SwiGLU takes [tokens, 2 f] to [tokens, f], not {} to {}", x.shape.text(), dy.shape.text());
  for_pieces("swiglu_backward", dy.rows(), width, [&](const auto& p, auto& buffers) {
    const float* gate = read_row(x, p.row, p.column, p.count, buffers[0]);
    const float* up = read_row(x, p.row, width + p.column, p.count, buffers[1]);
    const float* d_out = read_row(dy, p.row, p.column, p.count, buffers[2]);
    if (y) {
      alignas(64) float again[Pieces::kWidest];
      float* out = row_target(y, p.row, p.column, again);
#pragma omp simd
      for (std::int64_t i = 0; i < p.count; ++i) out[i] = Silu::value(gate[i]) * up[i];
      finish_row(y, p.row, p.column, p.count, again);
    }
    float* d_gate = row_target(dx, p.row, p.column, buffers[0]);
    float* d_up = row_target(dx, p.row, width + p.column, buffers[1]);
#pragma omp simd
    for (std::int64_t i = 0; i < p.count; ++i) {
      const float g = gate[i];
      const float u = up[i];
      d_gate[i] = d_out[i] * u * Silu::slope(g);
      d_up[i] = d_out[i] * Silu::value(g);
    }
    finish_row(dx, p.row, p.column, p.count, buffers[0]);
    finish_row(dx, p.row, width + p.column, p.count, buffers[1]);
  });
}

}  // namespace trireme::kernels
