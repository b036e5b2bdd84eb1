#include "kernels/elementwise/initialize.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/random_values.hpp"
#include "kernels/elementwise/row_access.hpp"

#include <cmath>

namespace trireme::kernels {
namespace {

/// Width of the tensor that x is a slice of, once the source fits x.
std::int64_t logical_width(const TensorView& x, const RandomSource& source) {
  expect_floating(x, "a tensor to initialise");
  const std::int64_t logical = source.logical_width != 0 ? source.logical_width : x.width();
  check(source.first_column + x.width() <= logical, Exit::kUnexpected,
        "columns [{}, {}) lie outside a tensor of width {}", source.first_column,
        source.first_column + x.width(), logical);
  return logical;
}

/// x <- values(words of its group of four)[place in the group].
template <class F>
void fill_random(const TensorView& x, const RandomSource& source, const F& values) {
  const Philox philox(source.seed);
  const std::int64_t logical = logical_width(x, source);
  const Pieces pieces(x.rows(), x.width());
  for_rows("fill_random", pieces.count(), 1, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float buffer[Pieces::kWidest];
    for (std::int64_t i = begin; i < end; ++i) {
      const auto piece = pieces[i];
      const std::int64_t first =
          (source.first_row + piece.row) * logical + source.first_column + piece.column;
      float* out = row_target(x, piece.row, piece.column, buffer);
      for (std::int64_t c = 0; c < piece.count;) {
        const auto group = static_cast<std::uint64_t>(first + c) / 4;
        const auto four = values(philox.at(group, source.stream));
        for (auto k = static_cast<std::size_t>(first + c) % 4; k < 4 && c < piece.count; ++k, ++c)
          out[c] = four[k];
      }
      finish_row(x, piece.row, piece.column, piece.count, buffer);
    }
  });
}

}  // namespace

void fill_normal(const TensorView& x, float mean, float deviation, const RandomSource& source) {
  logical_width(x, source);
  if (on_device("fill_normal", {&x}))
    return device_kernels().fill_normal(x, mean, deviation, source);
  fill_random(x, source, NormalValues{mean, deviation});
}

void fill_uniform(const TensorView& x, float low, float high, const RandomSource& source) {
  logical_width(x, source);
  if (on_device("fill_uniform", {&x})) return device_kernels().fill_uniform(x, low, high, source);
  fill_random(x, source, UniformValues{low, high, std::nextafter(high, low)});
}

}  // namespace trireme::kernels
