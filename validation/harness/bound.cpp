#include "validation/harness/bound.hpp"

#include "kernels/base/error.hpp"

#include <cmath>
#include <limits>

namespace trireme::validation {

double bound_factor(DType dtype) {
  switch (dtype) {
    // 3 x 2.54: the largest error kernels.bound finds between orders of summation of a residual
    // chain of products, forward and backward (2.54 eps with AVX-512, 2.24 with AVX2). Whole models
    // stay below: nn.bound finds 1.94 eps beyond the term for cancellation.
    case DType::f64:
    case DType::f32: return 8;
    // The same chain gives 3 x 0.59. A transformer rounds at more places (norms, softmax, saved
    // activations), so Megatron-LM's 4 is kept; nn.bound finds
    // nothing beyond the term for cancellation.
    case DType::bf16:
    case DType::f16: return 4;
    default: fail(Exit::kUnexpected, "no bound for {}", name_of(dtype));
  }
}

double bound(DType dtype, int layer, int layers) {
  return bound_factor(dtype) * std::pow(1.03, layers + 1 - layer) * epsilon_of(dtype);
}

double bound(DType dtype, int layer, int layers, double all, double norm) {
  if (norm == 0) return std::numeric_limits<double>::infinity();
  return bound(dtype, layer, layers) + epsilon_of(dtype) * all / norm;
}

}  // namespace trireme::validation
