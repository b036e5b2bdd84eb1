#pragma once
// How the row-wise kernels read and write rows of any floating dtype as fp32, and how they cut
// views and sums into parts. Private to kernels/*.cpp.

#include "kernels/base/checked.hpp"
#include "kernels/base/tensor_view.hpp"

#include <cstdint>
#include <initializer_list>

namespace trireme::kernels {

/// Throws Exit::kUnexpected unless the view is f32, bf16 or f16 (in any memory space: on_device()
/// finds what does not fit together).
void expect_floating(const TensorView& view, const char* what);
/// ... and has as many rows and columns as `model`.
void expect_like(const TensorView& view, const TensorView& model, const char* what);
/// ... and is dense f32 with this many elements.
void expect_floats(const TensorView& view, std::int64_t elements, const char* what);
/// ... or dense i32.
void expect_ids(const TensorView& view, std::int64_t elements, const char* what);

/// `count` elements of a row from `column` on, as fp32: in place for f32, else converted into
/// `buffer`.
const float* read_row(const TensorView& view, std::int64_t row, std::int64_t column,
                      std::int64_t count, float* buffer);
/// Where to put fp32 results for that part of a row: the row itself for f32, else `buffer`;
/// finish_row then rounds the buffer into the row. read_row and row_target of one view may share a
/// buffer, so that in-place kernels need only one.
float* row_target(const TensorView& view, std::int64_t row, std::int64_t column, float* buffer);
void finish_row(const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count,
                const float* buffer);

/// Rows that a thread should take at a time: some 16 thousand elements.
constexpr std::int64_t row_grain(std::int64_t width) {
  return width < 16384 ? 16384 / (width > 0 ? width : 1) : 1;
}

/// Views of one shape cut into pieces of rows that fit the first cache; dense views are cut as if
/// they were one long row.
class Pieces {
 public:
  static constexpr std::int64_t kWidest = 2048;
  static constexpr std::int64_t kGrain = 8;  ///< pieces that a thread takes at a time

  struct Piece {
    std::int64_t row;
    std::int64_t column;
    std::int64_t count;
  };

  /// Pieces of [rows, width].
  Pieces(std::int64_t rows, std::int64_t width)
      : width_(width), per_row_(divide_up(width, kWidest)), count_(rows * per_row_) {}
  /// Pieces of all these views at once.
  static Pieces of(std::initializer_list<const TensorView*> views);

  std::int64_t count() const { return count_; }
  Piece operator[](std::int64_t i) const {
    const std::int64_t column = i % per_row_ * kWidest;
    return {i / per_row_, column, column + kWidest < width_ ? kWidest : width_ - column};
  }

 private:
  std::int64_t width_;
  std::int64_t per_row_;
  std::int64_t count_;
};

/// The parts in which column sums over `rows` rows are made: at most 64, none shorter than 16 rows
/// (but the last), bounds that follow from `rows` alone.
struct RowParts {
  explicit RowParts(std::int64_t rows)
      : size(divide_up(rows, 64) > 16 ? divide_up(rows, 64) : 16), count(divide_up(rows, size)) {}
  std::int64_t size;
  std::int64_t count;
};

/// out[c] (+)= sum over parts of partial[part * stride + c], c in [0, width), in order of parts.
void join_columns(const float* partial, std::int64_t parts, std::int64_t stride, std::int64_t width,
                  float* out, bool accumulate);

}  // namespace trireme::kernels
