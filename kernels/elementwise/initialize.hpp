#pragma once
// Initial values of parameters, drawn by counter: an element's value is a function of the seed, its
// tensor and its place in the logical tensor, so that every grid starts from the same weights.

#include "kernels/base/tensor_view.hpp"

#include <cstdint>

namespace trireme::kernels {

/// Which random numbers a view takes. The view is the slice of a logical tensor [.., logical_width]
/// whose element (0, 0) stands at (first_row, first_column); logical element e = row *
/// logical_width + column. Philox4x32-10 at counter (e / 4, stream), key seed, gives four elements.
struct RandomSource {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;        ///< names the tensor; another stream is independent
  std::int64_t logical_width = 0;  ///< 0: the view is the whole width of its tensor
  std::int64_t first_row = 0;
  std::int64_t first_column = 0;
};

/// x <- mean + deviation * N(0, 1), by Box and Muller's transform (Ann. Math. Stat. 29, 1958) in
/// fp64 from 32-bit words: |z| <= 6.8. f32, bf16 or f16 (rounded from the f32 value).
void fill_normal(const TensorView& x, float mean, float deviation, const RandomSource& source);

/// x <- uniform in [low, high), 24 bits.
void fill_uniform(const TensorView& x, float low, float high, const RandomSource& source);

}  // namespace trireme::kernels
