#include "lib/optim/gradient_scale.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::optim {
namespace {

/// Keeps the quotient finite when all gradients are zero; part of the published formula.
constexpr double kNormGuard = 1e-6;

}  // namespace

GradientScale gradient_scale(double sum_of_squares, double stored_factor, double clipping) {
  check(std::isfinite(sum_of_squares) && sum_of_squares >= 0, Exit::kUnexpected,
        "expected a finite sum of squared gradients, found {}", sum_of_squares);
  check(std::isfinite(stored_factor) && stored_factor > 0, Exit::kUnexpected,
        "expected a factor of the stored gradients above 0, found {}", stored_factor);
  GradientScale scale;
  scale.norm = std::sqrt(sum_of_squares) / stored_factor;
  if (clipping > 0) scale.clip_factor = std::min(1.0, clipping / (scale.norm + kNormGuard));
  scale.factor = scale.clip_factor / stored_factor;
  return scale;
}

}  // namespace trireme::optim
