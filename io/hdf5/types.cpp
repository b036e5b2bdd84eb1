#include "io/hdf5/types.hpp"

#include <array>
#include <bit>

namespace trireme::io {
namespace {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian and are written from memory as it is");

/// A 16-bit float: sign bit 15, `exponent` bits, then `mantissa` bits.
Hdf5Handle small_float(std::size_t exponent, std::size_t mantissa, std::size_t bias) {
  Hdf5Handle type(check_hdf5(H5Tcopy(H5T_IEEE_F32LE), "copy of a type"), &H5Tclose);
  check_hdf5(H5Tset_fields(type.get(), 15, mantissa, exponent, 0, mantissa), "16-bit float");
  check_hdf5(H5Tset_size(type.get(), 2), "16-bit float");
  check_hdf5(H5Tset_ebias(type.get(), bias), "16-bit float");
  return type;
}

hid_t standard_type(DType type) {
  switch (type) {
    case DType::f32: return H5T_IEEE_F32LE;
    case DType::f64: return H5T_IEEE_F64LE;
    case DType::i32: return H5T_STD_I32LE;
    case DType::i64: return H5T_STD_I64LE;
    case DType::u8: return H5T_STD_U8LE;
    case DType::u16: return H5T_STD_U16LE;
    case DType::u32: return H5T_STD_U32LE;
    default: return -1;
  }
}

}  // namespace

Hdf5Handle hdf5_type(DType type) {
  if (type == DType::f16) return small_float(5, 10, 15);
  if (type == DType::bf16) return small_float(8, 7, 127);
  return {check_hdf5(H5Tcopy(standard_type(type)), "copy of a type"), &H5Tclose};
}

std::optional<DType> dtype_of_hdf5(hid_t type) {
  constexpr std::array kAll{DType::f32, DType::f64, DType::bf16, DType::f16, DType::i32,
                            DType::i64, DType::u8,  DType::u16,  DType::u32};
  for (const DType candidate : kAll)
    if (H5Tequal(type, hdf5_type(candidate).get()) > 0) return candidate;
  return std::nullopt;
}

}  // namespace trireme::io
