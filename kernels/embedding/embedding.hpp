#pragma once
// Lookup of rows in an embedding table, whole or a tensor rank's shard of rows, and its backward.
//
// Used for tokens (ids = tokens, a vocabulary shard; ranks' results are summed: Shoeybi et al.,
// arXiv 1909.08053, section 3) and for learned positions (ids = positions, added to the sum).
// Host memory; activations and tables f32, bf16 or f16 of one dtype with optional row stride; ids
// i32 [tokens]. Calls return when the work is done; the bits do not depend on the number of
// threads. A shape or dtype that does not fit is a bug report.

#include "kernels/base/tensor_view.hpp"
#include "kernels/elementwise/row_dropout.hpp"

#include <cstdint>

namespace trireme::kernels {

/// out [tokens, width] <- table[ids - first_row], zeros where the id lies outside [first_row,
/// first_row + rows) of the table [rows, width].
void embedding_forward(const TensorView& ids, const TensorView& table, std::int64_t first_row,
                       const TensorView& out);

/// out <- dropout(x + table[positions]): learned positions, added after the ranks' sum. `table`
/// may be empty (rotary models: dropout alone). out may be x. Positions outside the table are an
/// error (Exit::kUnexpected).
void add_positions(const TensorView& x, const TensorView& positions, const TensorView& table,
                   const RowDropout& dropout, const TensorView& out);

/// d_table f32 [rows, width] (+)= sum over tokens with that id of d_out [tokens, width], added in
/// order of tokens; ids outside the shard are left out. Overwrites (zeroing untouched rows) unless
/// `accumulate`. For learned positions: ids = positions, first_row = 0, d_out after apply_dropout.
void embedding_backward(const TensorView& ids, const TensorView& d_out, std::int64_t first_row,
                        const TensorView& d_table, bool accumulate);

}  // namespace trireme::kernels
