#pragma once
// Conversions of binary16, as CUDA names them, by the host's.

#include "kernels/base/dtype.hpp"

#include <bit>

struct __half {
  std::uint16_t bits;
};
inline __half __ushort_as_half(std::uint16_t bits) { return {bits}; }
inline std::uint16_t __half_as_ushort(__half value) { return value.bits; }
inline float __half2float(__half value) {
  return static_cast<float>(std::bit_cast<trireme::Float16>(value.bits));
}
inline __half __float2half_rn(float value) {
  return {std::bit_cast<std::uint16_t>(trireme::Float16(value))};
}
