#pragma once
// The bias that cuBLASLt can't add itself. Private to kernels/gemm.

#include "kernels/base/tensor_view.hpp"

namespace trireme::kernels {

/// c [m, n] <- c + bias [n], any floating dtypes, device memory, in the current stream. A 16-bit c
/// is rounded a second time.
void add_bias_on_device(const TensorView& c, const TensorView& bias);

}  // namespace trireme::kernels
