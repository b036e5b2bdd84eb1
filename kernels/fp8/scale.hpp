#pragma once
// The scale of a tensor, for host and device alike. Private to kernels/.

#include "kernels/fp8/fp8.hpp"

#include <bit>
#include <cstdint>

namespace trireme::kernels {

/// |x| as a number that orders like it, NaN above infinity.
constexpr std::uint32_t magnitude_bits(float x) {
  return std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
}

struct Fp8Factors {
  float scale, unscale;
};

/// Of the tensor whose largest magnitude_bits are these: 1.75 2^top is the largest number of both
/// formats.
constexpr Fp8Factors fp8_factors(std::uint32_t largest, DType format) {
  constexpr std::uint32_t kInfinity = 0x7f800000u;
  constexpr std::uint32_t kMantissa = 0x007fffffu;
  constexpr std::uint32_t kThreeQuarters = 0x00600000u;
  if (largest >= kInfinity) return {1, std::bit_cast<float>(kInfinity | kThreeQuarters)};  // NaN
  if (largest == 0) return {1, 1};
  const int top = format == DType::e4m3 ? Float8E4M3::kTopExponent : Float8E5M2::kTopExponent;
  const int exponent = static_cast<int>(largest >> 23) - 127;
  const int room = top - exponent - ((largest & kMantissa) > kThreeQuarters ? 1 : 0);
  const int power = room < 126 ? room : 126;  // both factors are normal numbers
  return {std::bit_cast<float>(static_cast<std::uint32_t>(127 + power) << 23),
          std::bit_cast<float>(static_cast<std::uint32_t>(127 - power) << 23)};
}

}  // namespace trireme::kernels
