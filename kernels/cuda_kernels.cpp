#include "kernels/device_kernels.hpp"

namespace trireme::kernels {

DeviceKernels cuda_kernels() {
  DeviceKernels kernels;
  provide_elementwise(kernels);
  provide_random(kernels);
  provide_activation(kernels);
  provide_norm(kernels);
  provide_rotary(kernels);
  provide_embedding(kernels);
  provide_attention_forward(kernels);
  provide_attention_backward(kernels);
  provide_gemm(kernels);
  provide_fp8(kernels);
  provide_loss(kernels);
  provide_optimizer(kernels);
  provide_exact_sum(kernels);
  provide_ordered_sum(kernels);
  return kernels;
}

}  // namespace trireme::kernels
