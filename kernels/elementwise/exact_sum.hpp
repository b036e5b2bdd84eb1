#pragma once
// A sum of squares that has the same bits however a buffer is divided over calls, threads and
// ranks.
//
// A running sum is kExactLimbs f64 numbers, its limbs; limb k is a whole multiple of 2^(32 k -
// 298). The least limb holds the square of the smallest f32, the greatest has room for 2^40 squares
// of the largest, so that nothing is ever rounded after the blocks of kNormBlock elements, whose
// bounds follow from the elements' places in the whole buffer. Adding is therefore in any order and
// any grouping: rank by rank an all-reduce of the limbs in f64 is exact for up to 2^20 ranks. (The
// idea is Kulisch's long accumulator: Computer Arithmetic and Validity, 2nd ed., ch. 8.)

#include "kernels/base/tensor_view.hpp"

#include <cstdint>
#include <span>

namespace trireme::kernels {

inline constexpr int kExactLimbs = 20;
inline constexpr std::int64_t kNormBlock = 256;  ///< elements summed in f64 before they are split

/// Adds the squares of x [n], which are the elements [first, first + n) of a larger
/// buffer, to limbs [kExactLimbs]; zeros are the empty sum. On return every limb is below 2^32 of
/// its unit: the bits follow from the sum alone, not from how it came about.
///
/// The law: parts of a buffer divided at multiples of kNormBlock give, added in any order and
/// grouping, the total of the whole. Within a block the order is fixed by place; elements that are
/// not there count as zeros, so that padding with zeros changes nothing. A part that ends inside a
/// block rounds its piece on its own: same value to 2^-48, other bits.
///
/// NaN and infinite elements make the total NaN or infinite. Synchronous; the same bits for any
/// number of threads. In device memory (x and limbs both) in the current stream, with the bits of
/// the host; limbs that are no sum are found by exact_total.
void add_exact_squares(std::span<const float> x, std::int64_t first, std::span<double> limbs,
                       MemorySpace space = MemorySpace::host);
/// Device memory that it works in, bytes; on the host none.
inline constexpr std::int64_t kExactSquaresWorkspace = 512 * (kExactLimbs + 1) * 8;

/// What limbs [kExactLimbs], in host memory, stand for, rounded once to the nearest f64. Limbs are
/// those of calls above or sums of up to 2^20 such limbs, each in f64; others are a bug report.
double exact_total(std::span<const double> limbs);

}  // namespace trireme::kernels
