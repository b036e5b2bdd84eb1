#include "kernels/elementwise/initialize.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/random.hpp"
#include "kernels/elementwise/row_access.hpp"

#include <array>
#include <cmath>
#include <numbers>

namespace trireme::kernels {
namespace {

using Words = std::array<std::uint32_t, 4>;
using Values = std::array<float, 4>;

/// Two standard normal numbers from two words.
void box_muller(std::uint32_t a, std::uint32_t b, float* out) {
  const double radius = std::sqrt(-2 * std::log((a + 0.5) * 0x1p-32));
  const double angle = 2 * std::numbers::pi * (b * 0x1p-32);
  out[0] = static_cast<float>(radius * std::cos(angle));
  out[1] = static_cast<float>(radius * std::sin(angle));
}

/// x <- values(words of its group of four)[place in the group].
template <class F>
void fill_random(const TensorView& x, const RandomSource& source, const F& values) {
  expect_floating(x, "a tensor to initialise");
  const Philox philox(source.seed);
  const std::int64_t logical = source.logical_width != 0 ? source.logical_width : x.width();
  check(source.first_column + x.width() <= logical, Exit::kUnexpected,
        "columns [{}, {}) lie outside a tensor of width {}", source.first_column,
        source.first_column + x.width(), logical);
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
        const Values four = values(philox.at(group, source.stream));
        for (auto k = static_cast<std::size_t>(first + c) % 4; k < 4 && c < piece.count; ++k, ++c)
          out[c] = four[k];
      }
      finish_row(x, piece.row, piece.column, piece.count, buffer);
    }
  });
}

}  // namespace

void fill_normal(const TensorView& x, float mean, float deviation, const RandomSource& source) {
  fill_random(x, source, [=](const Words& words) {
    Values z;
    box_muller(words[0], words[1], &z[0]);
    box_muller(words[2], words[3], &z[2]);
    for (float& value : z) value = std::fma(deviation, value, mean);
    return z;
  });
}

void fill_uniform(const TensorView& x, float low, float high, const RandomSource& source) {
  fill_random(x, source, [=](const Words& words) {
    Values u;
    for (std::size_t i = 0; i < 4; ++i)
      u[i] = std::min(std::fma(high - low, uniform_from(words[i]), low),
                      std::nextafter(high, low));  // rounding must not reach `high`
    return u;
  });
}

}  // namespace trireme::kernels
