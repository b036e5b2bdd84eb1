#pragma once
// Private to kernels/.

#include "kernels/base/checked.hpp"
#include "kernels/fp8/fp8.hpp"

namespace trireme::kernels {

/// Bytes; the best alignment of an operand that there is.
inline constexpr std::int64_t kFp8Line = 256;
/// What an operand [rows, depth] of a product takes: a line with its scale, then its rows.
constexpr std::int64_t fp8_operand_bytes(std::int64_t rows, std::int64_t depth) {
  return kFp8Line + round_up(rows * round_up(depth, kFp8Alignment), kFp8Line);
}

/// quantize() in device memory, in the current stream; uses none of its scratch.
void quantize_on_device(const TensorView& x, const Fp8Tensor& out, bool transpose);

}  // namespace trireme::kernels
