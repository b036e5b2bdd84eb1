#pragma once
// Dropout of packs in device kernels. Private to the .cu files of kernels/.

#include "kernels/base/device_kernel.cuh"
#include "kernels/elementwise/row_dropout.hpp"

#include <array>

namespace trireme::cuda {

/// The factors of RowDropout::factors for `kPack` elements of a row from `column` on.
__device__ inline void dropout_factors(const kernels::RowDropout& dropout, std::int64_t row,
                                       std::int64_t width, std::int64_t column,
                                       float (&out)[kPack]) {
  const std::int64_t first = (dropout.first_position + row % dropout.positions) *
                                 (dropout.logical_width != 0 ? dropout.logical_width : width) +
                             dropout.first_column + column;
  const DropoutStream stream(dropout.key, row / dropout.positions);
  const float scale = dropout.key.scale();
  std::array<std::uint32_t, 4> words{};
  for (int k = 0; k < kPack; ++k) {
    const std::int64_t element = first + k;
    if (k == 0 || element % 4 == 0) words = stream.words(element / 4);
    out[k] = stream.keeps(words[static_cast<std::size_t>(element % 4)]) ? scale : 0.0f;
  }
}

}  // namespace trireme::cuda
