#pragma once
// Rounding of rows to bf16 for one instruction set each. Private to kernels/elementwise.

#include "kernels/base/dtype.hpp"

#include <cstdint>

namespace trireme::kernels {

/// To nearest, ties to even; the bits of store_row() in row_convert.hpp.
void store_row_avx512(const float* source, BFloat16* out, std::int64_t count);

}  // namespace trireme::kernels
