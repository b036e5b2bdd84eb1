#include "kernels/base/dtype.hpp"

namespace trireme {

std::string_view name_of(DType type) {
  switch (type) {
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::bf16: return "bf16";
    case DType::f16: return "f16";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::u8: return "u8";
    case DType::u16: return "u16";
    case DType::u32: return "u32";
    case DType::e4m3: return "e4m3";
    case DType::e5m2: return "e5m2";
  }
  return "?";
}

std::optional<DType> parse_dtype(std::string_view name) {
  for (const DType type : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i32, DType::i64,
                           DType::u8, DType::u16, DType::u32, DType::e4m3, DType::e5m2})
    if (name == name_of(type)) return type;
  if (name == "fp32" || name == "float32" || name == "float") return DType::f32;
  if (name == "fp16" || name == "float16" || name == "half") return DType::f16;
  if (name == "bfloat16") return DType::bf16;
  if (name == "fp64" || name == "float64" || name == "double") return DType::f64;
  return std::nullopt;
}

}  // namespace trireme
