#pragma once
// Dropout of activation rows: which of a sample's mask each row of a micro-batch takes.

#include "kernels/base/dropout.hpp"
#include "kernels/base/tensor_view.hpp"

#include <cstdint>

namespace trireme::kernels {

/// Rows of an activation [tokens, width] are samples x positions: row r is position
/// first_position + r % positions of the micro-batch's sample r / positions. Ranks that hold
/// another range of positions (sequence parallel) or of columns draw their part of the same mask.
struct RowDropout {
  DropoutKey key;                   ///< not active: no dropout, the rest is not read
  std::int64_t positions = 0;       ///< rows of one sample in this view: divides tokens
  std::int64_t first_position = 0;  ///< of this rank's rows within the sample
  std::int64_t logical_width = 0;   ///< columns of the whole tensor; 0 = those of the view
  std::int64_t first_column = 0;    ///< of this view within the whole tensor

  constexpr bool active() const { return key.active(); }
  /// factors[c] = 1 / (1 - p) where element (row, c) stays, else 0, for c in [0, width).
  void factors(std::int64_t row, std::int64_t width, float* out) const {
    const std::int64_t element =
        (first_position + row % positions) * (logical_width != 0 ? logical_width : width) +
        first_column;
    DropoutStream(key, row / positions).factors(element, width, key.scale(), out);
  }
};

/// Throws Exit::kUnexpected unless `dropout` is inactive or its positions divide `tokens`.
void check_dropout(const RowDropout& dropout, std::int64_t tokens);

/// y <- x * factors: dropout forward, and backward when x is the gradient. x and y [tokens, width]
/// of one dtype (f32, bf16, f16); y may be x. Without dropout a copy (nothing when y is x).
void apply_dropout(const TensorView& x, const RowDropout& dropout, const TensorView& y);

}  // namespace trireme::kernels
