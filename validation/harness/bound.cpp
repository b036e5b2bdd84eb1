#include "validation/harness/bound.hpp"

#include "kernels/base/error.hpp"

#include <cmath>
#include <limits>

namespace trireme::validation {

double bound_factor(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::f32: return 8;
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
