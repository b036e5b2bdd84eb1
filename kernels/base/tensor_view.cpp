#include "kernels/base/tensor_view.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace trireme {

Shape::Shape(std::initializer_list<std::int64_t> dims) {
  check(dims.size() <= kMaxRank, Exit::kUnexpected, "a shape has at most {} dims, not {}", kMaxRank,
        dims.size());
  for (const std::int64_t size : dims) dims_[static_cast<std::size_t>(rank_++)] = size;
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (int i = 0; i < rank_; ++i) product *= (*this)[i];
  return product;
}

std::int64_t Shape::rows() const {
  std::int64_t product = 1;
  for (int i = 0; i + 1 < rank_; ++i) product *= (*this)[i];
  return product;
}

Shape Shape::with(int i, std::int64_t size) const {
  Shape copy = *this;
  copy.dims_[static_cast<std::size_t>(i < 0 ? rank_ + i : i)] = size;
  return copy;
}

std::string Shape::text() const {
  return fmt::format("[{}]", fmt::join(dims_.begin(), dims_.begin() + rank_, ", "));
}

TensorView TensorView::reshaped(Shape dims) const {
  check(stride() == width(), Exit::kUnexpected, "a strided view {} can't be reshaped",
        shape.text());
  check(dims.elements() == elements(), Exit::kUnexpected, "{} can't be reshaped to {}",
        shape.text(), dims.text());
  return {data, dims, dtype, 0, space};
}

TensorView TensorView::row_slice(std::int64_t begin, std::int64_t count) const {
  check(begin >= 0 && count >= 0 && begin + count <= rows(), Exit::kUnexpected,
        "rows [{}, {}) lie outside {}", begin, begin + count, shape.text());
  auto* start =
      static_cast<std::byte*>(data) + begin * stride() * static_cast<std::int64_t>(size_of(dtype));
  return {start, {count, width()}, dtype, row_stride, space};
}

TensorView TensorView::column_slice(std::int64_t begin, std::int64_t count) const {
  check(begin >= 0 && count >= 0 && begin + count <= width(), Exit::kUnexpected,
        "columns [{}, {}) lie outside {}", begin, begin + count, shape.text());
  auto* start = static_cast<std::byte*>(data) + begin * static_cast<std::int64_t>(size_of(dtype));
  return {start, {rows(), count}, dtype, stride(), space};
}

void expect_shape(const TensorView& view, const Shape& shape, std::string_view what) {
  check(view.shape == shape, Exit::kUnexpected, "{} has shape {}, expected {}", what,
        view.shape.text(), shape.text());
}

}  // namespace trireme
