// The errors that kernels/base/vector_math.hpp states, measured against fp64.

#include "kernels/base/vector_math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace trireme {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Distance between a float and the true value in units of the true value's last place.
double ulps(float found, double truth) {
  const int exponent = std::max(std::ilogb(truth), -126);
  return std::fabs(found - truth) / std::ldexp(1.0, exponent - 23);
}

template <class Truth, class Function>
double worst(float low, float high, const Function& f, const Truth& truth) {
  double most = 0;
  constexpr int kPoints = 1'000'003;
  for (int i = 0; i < kPoints; ++i) {
    const auto x = static_cast<float>(low + (static_cast<double>(high) - low) * i / (kPoints - 1));
    most = std::max(most, ulps(f(x), truth(static_cast<double>(x))));
  }
  return most;
}

double true_exp(double x) { return std::exp(x); }

TEST(VectorMath, ExpIsWithinOneUlp) {
  EXPECT_LE(worst(-87.3f, 88.7f, vector_exp, true_exp), 1.0);
  EXPECT_LE(worst(-1.0f, 1.0f, vector_exp, true_exp), 1.0);
  EXPECT_EQ(vector_exp(0.0f), 1.0f);
  EXPECT_EQ(vector_exp(-kInfinity), 0.0f);
  EXPECT_EQ(vector_exp(-1e30f), 0.0f);
  EXPECT_EQ(vector_exp(89.0f), kInfinity);
  EXPECT_EQ(vector_exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(vector_exp(kNaN)));
  // The fault: without the low part of ln 2 the reduction loses digits.
  const auto careless = [](float x) {
    const float n = std::nearbyint(x * 1.44269504f);
    return static_cast<float>(std::exp(static_cast<double>(x - n * 0.693147182f))) *
           std::ldexp(1.0f, static_cast<int>(n));
  };
  EXPECT_GT(worst(-80.0f, 80.0f, careless, true_exp), 4.0);
}

TEST(VectorMath, ExpOfFallingArgumentsHasTheBitsOfExp) {
  const auto same = [](float x) { return vector_exp(x) == vector_exp_falling(x); };
  for (int i = 0; i <= 2'000'000; ++i) {
    const float x = -100.0f + static_cast<float>(i) * 94e-6f;  // to 88
    ASSERT_TRUE(same(x)) << x;
  }
  EXPECT_EQ(vector_exp_falling(-kInfinity), 0.0f);
  EXPECT_TRUE(std::isnan(vector_exp_falling(kNaN)));
  EXPECT_FALSE(same(89.5f));  // beyond its range one factor 2^n does not do
}

TEST(VectorMath, SigmoidIsWithinThreeUlp) {
  const auto truth = [](double x) { return 1 / (1 + std::exp(-x)); };
  EXPECT_LE(worst(-87.0f, 20.0f, vector_sigmoid, truth), 3.0);
  EXPECT_EQ(vector_sigmoid(kInfinity), 1.0f);
  EXPECT_EQ(vector_sigmoid(-kInfinity), 0.0f);
  EXPECT_TRUE(std::isnan(vector_sigmoid(kNaN)));
}

TEST(VectorMath, NormalCdfIsAccurateInTheTails) {
  const auto truth = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  const auto phi = [](float x) { return vector_normal_cdf(x).phi; };
  EXPECT_LE(worst(-12.9f, 12.9f, phi, truth), 7.0);
  EXPECT_EQ(phi(0.0f), 0.5f);
  EXPECT_EQ(phi(kInfinity), 1.0f);
  EXPECT_EQ(phi(-1e20f), 0.0f);
  EXPECT_TRUE(std::isnan(phi(kNaN)));
  // The fault: Phi as (1 + erf) / 2 cancels on the left.
  const auto careless = [](float x) { return 0.5f * (1.0f + std::erf(x * 0.70710678f)); };
  EXPECT_GT(worst(-5.0f, 0.0f, careless, truth), 100.0);
}

TEST(VectorMath, LaneSumAddsEveryTermOnce) {
  for (const std::int64_t n : {0, 1, 15, 16, 17, 31, 32, 1000}) {
    const auto sum = lane_sum<double>(n, [](std::int64_t i) { return static_cast<double>(i + 1); });
    EXPECT_EQ(sum, static_cast<double>(n) * static_cast<double>(n + 1) / 2);
  }
}

TEST(VectorMath, VectorBodyAndTailGiveTheSameBits) {
  std::vector<float> x(37), all(37);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i)) * 20;
#pragma omp simd
  for (std::size_t i = 0; i < x.size(); ++i) all[i] = vector_exp(x[i]);
  for (std::size_t i = 0; i < x.size(); ++i) {
    volatile float one = x[i];
    EXPECT_EQ(vector_exp(one), all[i]);
  }
}

}  // namespace
}  // namespace trireme
