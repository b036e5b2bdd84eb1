#pragma once
// Where a double lies in the digits of an exact sum (exact_sum.hpp), for host and device kernels
// alike. Private to kernels/.

#include "kernels/elementwise/exact_sum.hpp"

#include <bit>
#include <cstdint>

namespace trireme::kernels {

inline constexpr int kDigitBits = 32;
inline constexpr int kLeastExponent =
    -298;  // (2^-149)^2: every partial sum is a multiple of 2^-298
inline constexpr std::uint64_t kDigitMask = (1ull << kDigitBits) - 1;

/// A number >= 0 as digits [at], [at + 1], [at + 2] of 32 bits each.
struct WideDigits {
  bool finite;
  int at;
  std::uint64_t digit[3];
};

constexpr WideDigits wide_digits(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const int exponent = static_cast<int>(bits >> 52 & 0x7ff);  // value >= 0, or a NaN of any sign
  if (exponent == 0x7ff) return {false, 0, {0, 0, 0}};
  if (exponent == 0) return {true, 0, {0, 0, 0}};  // 0: there is nothing between it and 2^-298
  // value = mantissa 2^(exponent - 1075). Near the least exponent the low bits of the mantissa are
  // zeros, and shifting them away is exact.
  std::uint64_t mantissa = (bits & ((1ull << 52) - 1)) | (1ull << 52);
  int shift = exponent - 1075 - kLeastExponent;
  if (shift < 0) {
    mantissa >>= -shift;
    shift = 0;
  }
  const int offset = shift % kDigitBits;
  const std::uint64_t low = mantissa << offset;
  const std::uint64_t high = offset == 0 ? 0 : mantissa >> (64 - offset);
  return {true, shift / kDigitBits, {low & kDigitMask, low >> kDigitBits, high}};
}

}  // namespace trireme::kernels
