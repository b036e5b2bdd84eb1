#pragma once
// Scalar functions that vectorise inside `#pragma omp simd` loops, and sums whose order does not
// depend on vector width, tail or alignment. GCC calls vector versions of std::exp only under
// -ffast-math. Private to kernels/*.cpp.
//
// Multiply-adds are explicit, so scalar tail and vector body give the same bits. Errors below are
// maxima over a dense sweep of the arguments, measured against fp64 by kernels.vector_math.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace trireme {

/// e^x = 2^n e^r: x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite's split), e^r by the
/// polynomial of Cephes (Moshier, expf). For x in [-87.4, 89].
struct ExpParts {
  float fraction;      ///< e^r
  std::int32_t whole;  ///< n
};
[[gnu::always_inline]] constexpr ExpParts vector_exp_parts(float x) {
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  const float shifted = std::fma(x, 1.44269504f, kRound);
  const float n = shifted - kRound;
  float r = std::fma(n, -0.693359375f, x);
  r = std::fma(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = std::fma(p, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  return {std::fma(p, r * r, r) + 1.0f,
          std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(kRound)};
}

/// e^x, error <= 1 ulp. 0 below -87.33 (where results are subnormal), infinity above 88.72, NaN
/// stays.
[[gnu::always_inline]] constexpr float vector_exp(float x) {
  const ExpParts e = vector_exp_parts(std::min(std::max(x, -87.4f), 89.0f));
  // 2^n in two factors: n reaches 128, whose power has no float.
  const std::int32_t half = e.whole >> 1;
  const auto low = std::bit_cast<float>((half + 127) << 23);
  const auto high = std::bit_cast<float>((e.whole - half + 127) << 23);
  return x < -87.33654f ? 0.0f : e.fraction * low * high;
}

/// The same bits for x <= 88, in two thirds of the instructions; above it nothing is promised.
[[gnu::always_inline]] constexpr float vector_exp_falling(float x) {
  const ExpParts e = vector_exp_parts(std::max(x, -87.4f));
  const float result = e.fraction * std::bit_cast<float>((e.whole + 127) << 23);
  return x < -87.33654f ? 0.0f : result;
}

/// 1 / (1 + e^-x), error <= 3 ulp where the result is above 2^-126; 0 below that.
[[gnu::always_inline]] constexpr float vector_sigmoid(float x) {
  // e^-|x| never overflows; the quotient is e^-|x| / (1 + e^-|x|) on the left.
  const float e = vector_exp_falling(-std::fabs(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

/// The normal distribution function Phi(x) = erfc(-x / sqrt 2) / 2 and e^(-x^2 / 2), which its
/// derivative needs too.
struct NormalCdf {
  float phi;       ///< error <= 7 ulp (6e-7) for x > -12.9; 0 below -13.3
  float exponent;  ///< e^(-x^2/2)
};

/// e^(z^2) erfc(z) = t Q(t), t = 1 / (1 + 0.3 z), Q of degree 8: a minimax fit of the relative
/// error on z in [0, 10] (2e-8), made by Remez's exchange in 40 digits.
[[gnu::always_inline]] constexpr NormalCdf vector_normal_cdf(float x) {
  const float a = std::min(std::fabs(x), 14.0f);  // Phi(-14) = 0 here
  const float square = a * a;
  const float residue = std::fma(a, a, -square);  // x^2 = square + residue exactly
  const float exponent = vector_exp_falling(-0.5f * square) * std::fma(-0.5f, residue, 1.0f);
  const float t = 1.0f / std::fma(0.212132034f, a, 1.0f);
  float q = -0.1295223628f;
  q = std::fma(q, t, 0.4855605847f);
  q = std::fma(q, t, -0.5122726882f);
  q = std::fma(q, t, 0.5477138852f);
  q = std::fma(q, t, -0.09464650965f);
  q = std::fma(q, t, 0.2149242754f);
  q = std::fma(q, t, 0.1483396231f);
  q = std::fma(q, t, 0.1707151639f);
  q = std::fma(q, t, 0.1691880089f);
  const float tail = 0.5f * exponent * (q * t);  // Phi(-|x|)
  return {x < 0 ? tail : 1.0f - tail, exponent};
}

/// sum over i in [0, n) of term(i), in 16 interleaved partial sums joined by a tree: the bits
/// follow from n alone. T is float or double.
template <class T, class Term>
inline T lane_sum(std::int64_t n, const Term& term) {
  constexpr std::int64_t kLanes = 16;
  T sum[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sum[lane] += term(i + lane);
  }
  for (std::int64_t lane = 0; i < n; ++i, ++lane) sum[lane] += term(i);
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2)
    for (std::int64_t lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
  return sum[0];
}

/// Largest term(i), i in [0, n), passing over NaN; -infinity when there is none.
template <class Term>
inline float lane_max(std::int64_t n, const Term& term) {
  constexpr std::int64_t kLanes = 16;
  float most[kLanes];
  std::fill(most, most + kLanes, -std::numeric_limits<float>::infinity());
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const float x = term(i + lane);
      most[lane] = x > most[lane] ? x : most[lane];
    }
  }
  for (; i < n; ++i) most[0] = std::max(most[0], term(i));
  return *std::max_element(most, most + kLanes);
}

}  // namespace trireme
