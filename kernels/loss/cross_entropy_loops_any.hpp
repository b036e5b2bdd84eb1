// The loops of cross_entropy_loops.hpp for whatever the including file is compiled for: everything
// here has internal linkage.

#include "kernels/base/vector_math.hpp"
#include "kernels/loss/cross_entropy_loops.hpp"

namespace trireme::kernels {
namespace {

float largest(const float* x, std::int64_t count) {
  return lane_max(count, [x](std::int64_t i) { return x[i]; });
}

float exponentials(const float* x, std::int64_t count, float shift) {
  return lane_sum<float>(count, [=](std::int64_t i) { return vector_exp_falling(x[i] - shift); });
}

void gradient(const float* x, float* d, std::int64_t count, float shift, float factor) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) d[i] = vector_exp_falling(x[i] - shift) * factor;
}

constexpr CrossEntropyLoops kLoops{largest, exponentials, gradient};

}  // namespace
}  // namespace trireme::kernels
