// The 8-bit floats against the list of all their values.

#include "kernels/base/float8.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace trireme {
namespace {

/// By the definition: sign, exponent, mantissa.
double value_of(int code, int mantissa_bits, int bias) {
  const int exponent = (code & 0x7f) >> mantissa_bits;
  const double fraction =
      std::ldexp((code & 0x7f) - (exponent << mantissa_bits), -mantissa_bits) + (exponent > 0);
  return (code & 0x80 ? -1 : 1) * std::ldexp(fraction, std::max(exponent, 1) - bias);
}

/// The code whose value is nearest, the even one of two.
template <class F8>
int nearest(double x, int most, int mantissa_bits, int bias) {
  const int sign = std::signbit(x) ? 0x80 : 0;
  const double size = std::min(std::abs(x), value_of(most, mantissa_bits, bias));
  int best = 0;
  for (int code = 0; code <= most; ++code) {
    const double here = std::abs(value_of(code, mantissa_bits, bias) - size);
    const double least = std::abs(value_of(best, mantissa_bits, bias) - size);
    if (here < least || (here == least && code % 2 == 0)) best = code;
  }
  return best | sign;
}

template <class F8>
void expect_format(int most, int mantissa_bits, int bias) {
  std::vector<float> candidates{0.0f,
                                -0.0f,
                                1e-30f,
                                1e30f,
                                std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()};
  for (int code = 0; code <= most; ++code) {
    const auto x = static_cast<float>(value_of(code, mantissa_bits, bias));
    EXPECT_EQ(static_cast<float>(F8::of_bits(static_cast<std::uint8_t>(code))), x) << code;
    EXPECT_EQ(static_cast<float>(F8::of_bits(static_cast<std::uint8_t>(code | 0x80))), -x) << code;
    const auto next = static_cast<float>(value_of(code + 1, mantissa_bits, bias));
    const float middle = (x + next) / 2;
    for (const float y : {x, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, next)}) {
      candidates.push_back(y);
      candidates.push_back(-y);
    }
  }
  for (const float x : candidates)
    EXPECT_EQ(F8(x).bits, nearest<F8>(static_cast<double>(x), most, mantissa_bits, bias)) << x;
  EXPECT_EQ(F8(std::numeric_limits<float>::quiet_NaN()).bits, 0x7f);
  EXPECT_TRUE(std::isnan(static_cast<float>(F8::of_bits(0x7f))));
}

TEST(Float8, E4M3RoundsToTheNearestAndSaturates) { expect_format<Float8E4M3>(0x7e, 3, 7); }
TEST(Float8, E5M2RoundsToTheNearestAndSaturates) { expect_format<Float8E5M2>(0x7b, 2, 15); }

TEST(Float8, SpecialsOfE5M2AreThoseOfIeee) {
  EXPECT_TRUE(std::isinf(static_cast<float>(Float8E5M2::of_bits(0x7c))));
  EXPECT_TRUE(std::isnan(static_cast<float>(Float8E5M2::of_bits(0x7d))));
}

TEST(Float8, TheCheckCatchesAnotherRounding) {
  // Towards zero instead of to the nearest: 1.1 lies nearer to 1.125.
  EXPECT_NE(nearest<Float8E4M3>(1.1, 0x7e, 3, 7), 0x38);
  EXPECT_EQ(value_of(0x38, 3, 7), 1);
}

}  // namespace
}  // namespace trireme
