#pragma once
// The two 8-bit floating-point storage types of Micikevicius et al., arXiv 2209.05433, table 1.

#include "kernels/base/dtype.hpp"

#include <bit>
#include <cstdint>

namespace trireme {

/// What a format of sign, exponent and kMantissa bits can hold. e4m3 has no infinity and one NaN of
/// each sign; e5m2 is IEEE's.
template <int kMantissa, int kBias, std::uint8_t kLargest, std::uint8_t kNan>
struct Float8 {
  std::uint8_t bits;

  static constexpr int kMantissaBits = kMantissa;
  static constexpr int kTopExponent = (kLargest >> kMantissa) - kBias;

  Float8() = default;
  /// To nearest, ties to even; beyond the largest number, infinity included, to that number.
  constexpr explicit Float8(float value) : bits(round(value)) {}
  constexpr explicit operator float() const {
    const std::uint32_t magnitude = bits & 0x7fu;
    const std::uint32_t sign = std::uint32_t{bits & 0x80u} << 24;
    if (magnitude > kLargest) {
      const bool infinite = kMantissa == 2 && magnitude == kLargest + 1u;
      return std::bit_cast<float>(sign | (infinite ? 0x7f800000u : 0x7fc00000u));
    }
    if (magnitude >> kMantissa == 0) {
      const float value = static_cast<float>(magnitude) * quantum();
      return sign ? -value : value;
    }
    return std::bit_cast<float>(sign | ((magnitude << kShift) + kExponents));
  }
  static constexpr float largest() { return static_cast<float>(of_bits(kLargest)); }
  static constexpr Float8 of_bits(std::uint8_t bits) {
    Float8 made(0.0f);
    made.bits = bits;
    return made;
  }

 private:
  static constexpr int kShift = 23 - kMantissa;
  static constexpr std::uint32_t kExponents = std::uint32_t{127 - kBias} << 23;
  /// Distance of numbers below the smallest normal one.
  static constexpr float quantum() {
    return std::bit_cast<float>(std::uint32_t{128 - kBias - kMantissa} << 23);
  }
  static constexpr std::uint8_t round(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return kNan;
    const auto sign = static_cast<std::uint8_t>(word >> 24 & 0x80u);
    constexpr std::uint32_t kEnd = (std::uint32_t{kLargest} << kShift) + kExponents;
    if (magnitude >= kEnd) return sign | kLargest;
    if (magnitude < kExponents + (1u << 23)) {       // below the smallest normal number
      constexpr float kAlign = quantum() * 0x1p23f;  // the sum's last bit is a quantum
      const float sum = std::bit_cast<float>(magnitude) + kAlign;
      return sign | static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(sum));
    }
    const std::uint32_t even = magnitude >> kShift & 1u;
    const std::uint32_t rounded = magnitude + (1u << (kShift - 1)) - 1 + even - kExponents;
    return sign | static_cast<std::uint8_t>(rounded >> kShift);
  }
};

using Float8E4M3 = Float8<3, 7, 0x7e, 0x7f>;   ///< to 448
using Float8E5M2 = Float8<2, 15, 0x7b, 0x7f>;  ///< to 57344
static_assert(sizeof(Float8E4M3) == 1 && Float8E4M3::largest() == 448);
static_assert(sizeof(Float8E5M2) == 1 && Float8E5M2::largest() == 57344);

template <>
struct DTypeOf<Float8E4M3> {
  static constexpr DType value = DType::e4m3;
};
template <>
struct DTypeOf<Float8E5M2> {
  static constexpr DType value = DType::e5m2;
};

}  // namespace trireme
