#include "kernels/activation/activation.hpp"

#include "kernels/activation/activation_loops.hpp"
#include "kernels/base/parallel.hpp"
#include "kernels/base/wide_loops.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/row_access.hpp"

namespace trireme::kernels {
namespace {

ActivationLoops loops_of(Activation kind) {
  return wide_loops() ? activation_loops_avx512(kind) : activation_loops_avx2(kind);
}

void expect_bias(const TensorView& bias, std::int64_t width) {
  if (!bias) return;
  expect_floating(bias, "an activation's bias");
  check(bias.elements() == width, Exit::kUnexpected,
        "a bias of {} elements does not fit {} columns", bias.elements(), width);
}

SwigluLoops swiglu_loops() { return wide_loops() ? swiglu_loops_avx512() : swiglu_loops_avx2(); }

/// The bias in fp32, in memory of `frame` where it is 16 bits wide; null without one.
const float* bias_of(const TensorView& bias, std::int64_t width, ScratchFrame& frame) {
  if (!bias) return nullptr;
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
  expect_bias(bias, x.width());
  if (on_device("activation_forward", {&x, &bias, &y}))
    return device_kernels().activation_forward(kind, x, bias, y);
  ScratchFrame frame;
  const float* b = bias_of(bias, x.width(), frame);
  const ActivationLoops loops = loops_of(kind);
  for_pieces("activation", x.rows(), x.width(), [&](const auto& p, auto& buffers) {
    const float* in = read_row(x, p.row, p.column, p.count, buffers[0]);
    float* out = row_target(y, p.row, p.column, buffers[0]);
    loops.forward(in, b ? b + p.column : nullptr, out, p.count);
    finish_row(y, p.row, p.column, p.count, buffers[0]);
  });
}

void activation_backward(Activation kind, const TensorView& x, const TensorView& bias,
                         const TensorView& dy, const TensorView& dx) {
  expect_floating(x, "an activation's input");
  expect_like(dy, x, "the gradient of an activation's output");
  expect_like(dx, x, "the gradient of an activation's input");
  expect_bias(bias, x.width());
  if (on_device("activation_backward", {&x, &bias, &dy, &dx}))
    return device_kernels().activation_backward(kind, x, bias, dy, dx);
  ScratchFrame frame;
  const float* b = bias_of(bias, x.width(), frame);
  const ActivationLoops loops = loops_of(kind);
  for_pieces("activation_backward", x.rows(), x.width(), [&](const auto& p, auto& buffers) {
    const float* in = read_row(x, p.row, p.column, p.count, buffers[0]);
    const float* d_out = read_row(dy, p.row, p.column, p.count, buffers[1]);
    float* d_in = row_target(dx, p.row, p.column, buffers[0]);
    loops.backward(in, b ? b + p.column : nullptr, d_out, d_in, p.count);
    finish_row(dx, p.row, p.column, p.count, buffers[0]);
  });
}

void swiglu_forward(const TensorView& x, const TensorView& y) {
  expect_floating(x, "SwiGLU's input");
  expect_floating(y, "SwiGLU's output");
  const std::int64_t width = y.width();
  check(x.rows() == y.rows() && x.width() == 2 * width, Exit::kUnexpected,
        "SwiGLU takes [tokens, 2 f] to [tokens, f], not {} to {}", x.shape.text(), y.shape.text());
  if (on_device("swiglu_forward", {&x, &y})) return device_kernels().swiglu_forward(x, y);
  const SwigluLoops loops = swiglu_loops();
  for_pieces("swiglu", y.rows(), width, [&](const auto& p, auto& buffers) {
    const float* gate = read_row(x, p.row, p.column, p.count, buffers[0]);
    const float* up = read_row(x, p.row, width + p.column, p.count, buffers[1]);
    float* out = row_target(y, p.row, p.column, buffers[2]);
    loops.forward(gate, up, out, p.count);
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
  if (on_device("swiglu_backward", {&x, &dy, &dx, &y}))
    return device_kernels().swiglu_backward(x, dy, dx, y);
  const SwigluLoops loops = swiglu_loops();
  for_pieces("swiglu_backward", dy.rows(), width, [&](const auto& p, auto& buffers) {
    const float* gate = read_row(x, p.row, p.column, p.count, buffers[0]);
    const float* up = read_row(x, p.row, width + p.column, p.count, buffers[1]);
    const float* d_out = read_row(dy, p.row, p.column, p.count, buffers[2]);
    if (y) {
      alignas(64) float again[Pieces::kWidest];
      float* out = row_target(y, p.row, p.column, again);
      loops.forward(gate, up, out, p.count);
      finish_row(y, p.row, p.column, p.count, again);
    }
    float* d_gate = row_target(dx, p.row, p.column, buffers[0]);
    float* d_up = row_target(dx, p.row, width + p.column, buffers[1]);
    loops.backward(gate, up, d_out, d_gate, d_up, p.count);
    finish_row(dx, p.row, p.column, p.count, buffers[0]);
    finish_row(dx, p.row, width + p.column, p.count, buffers[1]);
  });
}

}  // namespace trireme::kernels
