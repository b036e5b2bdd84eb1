#pragma once
// Rounding to 8-bit floats, as CUDA names it, by the host's.

#include "kernels/base/float8.hpp"

using __nv_fp8_storage_t = unsigned char;
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };

inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float value, __nv_saturation_t,
                                                __nv_fp8_interpretation_t format) {
  return format == __NV_E4M3 ? trireme::Float8E4M3(value).bits : trireme::Float8E5M2(value).bits;
}
