#pragma once
// Element types and the two 16-bit floating-point storage types; those of 8 bits: float8.hpp.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace trireme {

enum class DType : std::uint8_t { f32, f64, bf16, f16, i32, i64, u8, u16, u32, e4m3, e5m2 };

/// Bytes of one element.
constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32:
    case DType::u32: return 4;
    case DType::bf16:
    case DType::f16:
    case DType::u16: return 2;
    case DType::u8:
    case DType::e4m3:
    case DType::e5m2: return 1;
  }
  return 0;
}

/// "f32", "bf16", ... ; parse_dtype is its inverse and also knows DeepSpeed's "fp32", "fp16",
/// "bfloat16".
std::string_view name_of(DType type);
std::optional<DType> parse_dtype(std::string_view name);

/// What kernels read and write as fp32; 8-bit floats mean nothing without their scale.
constexpr bool is_floating(DType type) {
  return type == DType::f32 || type == DType::f64 || type == DType::bf16 || type == DType::f16;
}

/// Distance from 1 to the next representable number: the eps of bound() and of gradient tests.
constexpr double epsilon_of(DType type) {
  switch (type) {
    case DType::f64: return 2.220446049250313e-16;
    case DType::f32: return 1.1920928955078125e-07;
    case DType::f16: return 9.765625e-04;
    case DType::bf16: return 7.8125e-03;
    case DType::e4m3: return 0.125;
    case DType::e5m2: return 0.25;
    default: return 0;
  }
}

/// bfloat16 as storage: the upper half of a float, rounded to nearest, ties to even; NaN stays NaN.
struct BFloat16 {
  std::uint16_t bits;

  BFloat16() = default;
  explicit BFloat16(float value) : bits(round(value)) {}
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }

 private:
  static std::uint16_t round(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1u);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    return static_cast<std::uint16_t>((nan ? (u | 0x00400000u) : rounded) >> 16);
  }
};
static_assert(sizeof(BFloat16) == 2);

/// IEEE binary16 as storage. _Float16 converts in hardware (F16C is part of x86-64-v3).
struct Float16 {
  _Float16 value;

  Float16() = default;
  explicit Float16(float x) : value(static_cast<_Float16>(x)) {}
  explicit operator float() const { return static_cast<float>(value); }
};
static_assert(sizeof(Float16) == 2);

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<Float16> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<std::uint16_t> {
  static constexpr DType value = DType::u16;
};
template <>
struct DTypeOf<std::uint32_t> {
  static constexpr DType value = DType::u32;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<std::remove_cv_t<T>>::value;

}  // namespace trireme
