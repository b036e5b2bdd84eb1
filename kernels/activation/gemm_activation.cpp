#include "kernels/activation/gemm_activation.hpp"

#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/row_access.hpp"
#include "kernels/gemm/gemm_sizes.hpp"

namespace trireme::kernels {
namespace {

/// What cuBLASLt calls GELU. (Its ReLU keeps bits in rows of 128 in place of numbers, and makes 0
/// of NaN.)
constexpr Activation kInLibraries = Activation::gelu_tanh;

void expect_plain(const GemmOptions& options) {
  check(!options.accumulate && options.alpha == 1, Exit::kUnexpected,
        "a product with an activation takes neither accumulate nor alpha");
}

}  // namespace

void gemm_activation(const TensorView& y, const TensorView& x, const TensorView& a,
                     const TensorView& b, Activation kind, const GemmOptions& options) {
  const GemmSizes sizes = checked_sizes(x, a, b, options);
  expect_plain(options);
  expect_like(y, x, "an activation's output");
  if (sizes.m == 0 || sizes.n == 0) return;
  if (kind == kInLibraries && on_device("gemm_activation", {&y, &x, &a, &b, &options.bias}) &&
      device_kernels().gemm_activation(y, x, a, b, options))
    return;
  gemm(x, a, b, options);
  activation_forward(kind, x, {}, y);
}

void gemm_activation_slope(const TensorView& dx, const TensorView& x, const TensorView& a,
                           const TensorView& b, Activation kind, const GemmOptions& options) {
  const GemmSizes sizes = checked_sizes(dx, a, b, options);
  expect_plain(options);
  expect_like(x, dx, "an activation's input");
  check(!options.bias, Exit::kUnexpected, "a product times a slope takes no bias");
  if (sizes.m == 0 || sizes.n == 0) return;
  if (kind == kInLibraries && on_device("gemm_activation_slope", {&dx, &x, &a, &b}) &&
      device_kernels().gemm_activation_slope(dx, x, a, b, options))
    return;
  gemm(dx, a, b, options);
  activation_backward(kind, x, {}, dx, dx);
}

}  // namespace trireme::kernels
