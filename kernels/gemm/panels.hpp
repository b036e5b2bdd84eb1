#pragma once
// Operands copied into the layouts that strip.hpp multiplies. Private to kernels/.

#include "kernels/base/checked.hpp"
#include "kernels/base/dtype.hpp"

#include <cstdint>

namespace trireme::kernels {

/// 32-bit units that `elements` of depth take, `pair` to a unit; a missing one is zero.
constexpr std::int64_t units_of(std::int64_t elements, std::int64_t pair) {
  return divide_up(elements, pair);
}

/// A right operand b[depth, columns] as panels of `width` columns, one behind the other, each
/// [units, width]; zero beyond `columns`. Source row `stride` elements apart: by rows, row k holds
/// b[k, :]; transposed, row j holds b[:, j]. T is 16 or 32 bits wide.
template <class T>
void pack_panels(const T* source, std::int64_t stride, bool transposed, std::int64_t depth,
                 std::int64_t columns, std::int64_t width, std::uint32_t* panels);

/// A left operand a[rows, depth] by rows, kStripStride units apart: source rows `stride` elements
/// apart.
template <class T>
void pack_rows(const T* source, std::int64_t stride, std::int64_t depth, std::int64_t rows,
               std::uint32_t* out);

/// Units of rows 2 u and 2 u + 1 at out + u * out_stride: a left operand by columns. A missing last
/// row is zero.
void join_row_pairs(const BFloat16* source, std::int64_t stride, std::int64_t rows,
                    std::int64_t columns, std::uint32_t* out, std::int64_t out_stride);

}  // namespace trireme::kernels
