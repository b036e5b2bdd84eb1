#pragma once
// How a call of a contract (activation.hpp, norm.hpp, ...) with views in device memory reaches the
// kernels of the back end in use: one table of all of them. Private to kernels/.
//
// Each x.cpp has one line a function, after the checks it shares with the device:
//   if (on_device("add", {&a, &b, &out})) return device_kernels().add(a, b, out);
// Device kernels go to the current stream and return before they are done; those that return a
// number wait for it. Arguments reach them checked.

#include "kernels/activation/activation.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/base/device.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/exact_sum.hpp"
#include "kernels/elementwise/initialize.hpp"
#include "kernels/elementwise/ordered_sum.hpp"
#include "kernels/embedding/embedding.hpp"
#include "kernels/fp8/fp8.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/loss/cross_entropy.hpp"
#include "kernels/norm/norm.hpp"
#include "kernels/optimizer/optimizer.hpp"
#include "kernels/rotary/rotary.hpp"

namespace trireme::kernels {

struct DeviceKernels {
  decltype(&kernels::copy) copy = nullptr;
  decltype(&kernels::fill) fill = nullptr;
  decltype(&kernels::scale) scale = nullptr;
  decltype(&kernels::add) add = nullptr;
  decltype(&kernels::add_scaled) add_scaled = nullptr;
  decltype(&kernels::sum_of_squares) sum_of_squares = nullptr;
  decltype(&kernels::count_non_finite) count_non_finite = nullptr;
  decltype(&kernels::column_sums) column_sums = nullptr;
  decltype(&kernels::apply_dropout) apply_dropout = nullptr;
  decltype(&kernels::fill_normal) fill_normal = nullptr;
  decltype(&kernels::fill_uniform) fill_uniform = nullptr;

  decltype(&kernels::activation_forward) activation_forward = nullptr;
  decltype(&kernels::activation_backward) activation_backward = nullptr;
  decltype(&kernels::swiglu_forward) swiglu_forward = nullptr;
  decltype(&kernels::swiglu_backward) swiglu_backward = nullptr;

  decltype(&kernels::norm_forward) norm_forward = nullptr;
  decltype(&kernels::residual_forward) residual_forward = nullptr;
  decltype(&kernels::residual_norm_forward) residual_norm_forward = nullptr;
  decltype(&kernels::norm_backward) norm_backward = nullptr;

  decltype(&kernels::rotary) rotary = nullptr;
  decltype(&kernels::embedding_forward) embedding_forward = nullptr;
  decltype(&kernels::add_positions) add_positions = nullptr;
  decltype(&kernels::embedding_backward) embedding_backward = nullptr;
  decltype(&kernels::attention_forward) attention_forward = nullptr;
  decltype(&kernels::attention_backward) attention_backward = nullptr;
  decltype(&kernels::attention_path) attention_path = nullptr;
  decltype(&kernels::gemm) gemm = nullptr;
  /// Of GELU with tanh. False, and nothing done, where product and activation are two kernels.
  bool (*gemm_activation)(const TensorView& y, const TensorView& x, const TensorView& a,
                          const TensorView& b, const GemmOptions& options) = nullptr;
  bool (*gemm_activation_slope)(const TensorView& dx, const TensorView& x, const TensorView& a,
                                const TensorView& b, const GemmOptions& options) = nullptr;
  decltype(&kernels::gemm_fp8) gemm_fp8 = nullptr;
  decltype(&kernels::quantize) quantize = nullptr;

  decltype(&kernels::cross_entropy_statistics) cross_entropy_statistics = nullptr;
  decltype(&kernels::cross_entropy_combine) cross_entropy_combine = nullptr;
  decltype(&kernels::cross_entropy_total) cross_entropy_total = nullptr;
  decltype(&kernels::cross_entropy_gradient) cross_entropy_gradient = nullptr;

  decltype(&kernels::adam_update) adam_update = nullptr;
  decltype(&kernels::sgd_update) sgd_update = nullptr;
  decltype(&kernels::lion_update) lion_update = nullptr;
  decltype(&kernels::lamb_moments) lamb_moments = nullptr;
  decltype(&kernels::lamb_apply) lamb_apply = nullptr;
  decltype(&kernels::add_exact_squares) add_exact_squares = nullptr;
  decltype(&kernels::ordered_sum) ordered_sum = nullptr;
};

/// The back end's; none is an error that says how to build one.
const DeviceKernels& device_kernels();

/// CUDA's: each x_cuda.cu fills in its own.
DeviceKernels cuda_kernels();
void provide_elementwise(DeviceKernels& kernels);
void provide_random(DeviceKernels& kernels);
void provide_activation(DeviceKernels& kernels);
void provide_norm(DeviceKernels& kernels);
void provide_rotary(DeviceKernels& kernels);
void provide_embedding(DeviceKernels& kernels);
void provide_attention_forward(DeviceKernels& kernels);
void provide_attention_backward(DeviceKernels& kernels);
void provide_gemm(DeviceKernels& kernels);
void provide_fp8(DeviceKernels& kernels);
void provide_loss(DeviceKernels& kernels);
void provide_optimizer(DeviceKernels& kernels);
void provide_exact_sum(DeviceKernels& kernels);
void provide_ordered_sum(DeviceKernels& kernels);

}  // namespace trireme::kernels
