// The loops of attention_loops.hpp for whatever the including file is compiled for: everything here
// has internal linkage.

#include "kernels/attention/attention_loops.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/base/vector_math.hpp"

namespace trireme::kernels::attention {
namespace {

float largest(const float* __restrict row, std::int64_t count, float scale, float least) {
  float most[kRowGrain];
  for (float& m : most) m = least;
  for (std::int64_t j = 0; j < count; j += kRowGrain) {
#pragma omp simd
    for (std::int64_t lane = 0; lane < kRowGrain; ++lane) {
      const float x = scale * row[j + lane];
      most[lane] = x > most[lane] ? x : most[lane];
    }
  }
  float all = least;
  for (const float m : most) all = m > all ? m : all;
  return all;
}

float exponentials(float* __restrict row, std::int64_t count, float scale, float shift) {
  float sum[kRowGrain] = {};
  for (std::int64_t j = 0; j < count; j += kRowGrain) {
#pragma omp simd
    for (std::int64_t lane = 0; lane < kRowGrain; ++lane) {
      const float p = vector_exp_falling(std::fma(scale, row[j + lane], -shift));
      row[j + lane] = p;
      sum[lane] += p;
    }
  }
  for (std::int64_t half = kRowGrain / 2; half > 0; half /= 2)
    for (std::int64_t lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
  return sum[0];
}

void gradient(float* __restrict score, float* __restrict dscore, const float* __restrict factors,
              std::int64_t count, float scale, float lse, float delta) {
  if (factors) {
#pragma omp simd
    for (std::int64_t j = 0; j < count; ++j) {
      const float p = vector_exp_falling(std::fma(scale, score[j], -lse));
      score[j] = p * factors[j];
      dscore[j] = scale * p * std::fma(factors[j], dscore[j], -delta);
    }
    return;
  }
#pragma omp simd
  for (std::int64_t j = 0; j < count; ++j) {
    const float p = vector_exp_falling(std::fma(scale, score[j], -lse));
    score[j] = p;
    dscore[j] = scale * p * (dscore[j] - delta);
  }
}

void round(const float* row, BFloat16* out, std::int64_t count) { store_row(row, out, count); }

constexpr RowLoops kLoops{largest, exponentials, gradient, round};

}  // namespace
}  // namespace trireme::kernels::attention
