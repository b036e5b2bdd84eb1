#pragma once
// Values of random distributions from words of Philox, for host and device kernels alike. Private
// to kernels/.

#include "kernels/base/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace trireme::kernels {

/// Two standard normal numbers from two words.
constexpr void box_muller(std::uint32_t a, std::uint32_t b, float* out) {
  const double radius = std::sqrt(-2 * std::log((a + 0.5) * 0x1p-32));
  const double angle = 2 * std::numbers::pi * (b * 0x1p-32);
  out[0] = static_cast<float>(radius * std::cos(angle));
  out[1] = static_cast<float>(radius * std::sin(angle));
}

/// Four elements of N(mean, deviation^2).
struct NormalValues {
  float mean, deviation;
  constexpr std::array<float, 4> operator()(const std::array<std::uint32_t, 4>& words) const {
    std::array<float, 4> z{};
    box_muller(words[0], words[1], &z[0]);
    box_muller(words[2], words[3], &z[2]);
    for (float& value : z) value = std::fma(deviation, value, mean);
    return z;
  }
};

/// Four elements uniform in [low, high); `highest` is the float below high.
struct UniformValues {
  float low, high, highest;
  constexpr std::array<float, 4> operator()(const std::array<std::uint32_t, 4>& words) const {
    std::array<float, 4> u{};
    for (std::size_t i = 0; i < 4; ++i)  // rounding must not reach `high`
      u[i] = std::min(std::fma(high - low, uniform_from(words[i]), low), highest);
    return u;
  }
};

}  // namespace trireme::kernels
