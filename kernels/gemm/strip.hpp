#pragma once
// The innermost product of dense products and of attention: a strip of a few rows times a panel of
// a few columns, with all sums in registers. Private to kernels/.
//
// Operands are sequences of 32-bit units along the depth: one float, or two bf16 of neighbouring
// depth, lower one first (what the CPU multiplies at once). Every sum runs over the depth in
// ascending order, whatever the strip or panel it lies in: how a product is cut over threads and
// blocks has no influence on its bits.

#include "kernels/base/dtype.hpp"

#include <cstdint>

namespace trireme::kernels {

/// Units between the rows of a left operand that is stored by rows: an odd number of cache lines,
/// so that rows do not share cache sets. It bounds the depth of one product.
inline constexpr std::int64_t kStripStride = 400;
inline constexpr std::int64_t kStripDepth = 384;

/// c[rows, columns] (+)= a[rows, depth] b[depth, columns].
struct StripProduct {
  /// By rows: unit k of row r is a[r * kStripStride + k]. By columns: a[k * a_step + r].
  const std::uint32_t* a = nullptr;
  std::int64_t a_step = 0;
  bool by_columns = false;
  std::int64_t rows = 0;   ///< at most StripKernels::rows
  std::int64_t depth = 0;  ///< units
  /// [depth, StripKernels::columns], aligned to 64 bytes.
  const std::uint32_t* panel = nullptr;
  float* c = nullptr;
  std::int64_t c_stride = 0;
  std::int64_t columns = 0;  ///< of c; the panel's others are computed and dropped
  bool accumulate = false;
  /// StripKernels::columns floats that every row starts from instead of zero; null without.
  const float* start = nullptr;
};

/// One instruction set's code for one type of operand.
struct StripKernels {
  std::int64_t rows;     ///< of a strip, at most
  std::int64_t columns;  ///< of a panel
  std::int64_t pair;     ///< elements of the operand type in a unit: 1 or 2
  void (*multiply)(const StripProduct& product);
};

/// The best this CPU and ONEDNN_MAX_CPU_ISA allow; null for types it has no products of (f16
/// always, bf16 without AVX-512 BF16). f32 always has one.
const StripKernels* strip_kernels(DType operand);

// One function a file that is compiled for more than the baseline.
const StripKernels& strip_kernels_avx2();
const StripKernels& strip_kernels_avx512();
const StripKernels& strip_kernels_avx512_bf16();

}  // namespace trireme::kernels
