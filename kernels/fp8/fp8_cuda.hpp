#pragma once
// Private to kernels/.

#include "kernels/fp8/fp8.hpp"

namespace trireme::kernels {

/// quantize() in device memory, in the current stream; uses none of its scratch.
void quantize_on_device(const TensorView& x, const Fp8Tensor& out, bool transpose);

}  // namespace trireme::kernels
