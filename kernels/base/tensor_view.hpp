#pragma once
// The one tensor view: a pointer that knows its element type, shape and memory space. It owns
// nothing. Layout is row-major; only the outermost distance between rows of the innermost dim may
// exceed the dense one (`row_stride`), which is what slices of a fused projection need.

#include "kernels/base/dtype.hpp"
#include "kernels/base/error.hpp"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>

namespace trireme {

enum class MemorySpace : std::uint8_t { host, device };

/// Up to four dims, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  constexpr Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);

  int rank() const { return rank_; }
  /// Size of dim i; negative i counts from the innermost (-1).
  std::int64_t operator[](int i) const {
    return dims_[static_cast<std::size_t>(i < 0 ? rank_ + i : i)];
  }
  /// Product of all dims; 1 for a scalar.
  std::int64_t elements() const;
  /// elements() / innermost dim: how many rows a row-wise kernel sees.
  std::int64_t rows() const;
  /// Copy with dim i set to `size`.
  Shape with(int i, std::int64_t size) const;
  /// "[2, 16, 64]"
  std::string text() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

struct TensorView {
  void* data = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  MemorySpace space = MemorySpace::host;
  std::int64_t row_stride = 0;  ///< elements between rows of the innermost dim; 0 = dense

  TensorView() = default;
  TensorView(void* memory, Shape dims, DType type, std::int64_t stride = 0,
             MemorySpace where = MemorySpace::host)
      : data(memory), shape(dims), dtype(type), space(where), row_stride(stride) {}

  /// View of typed memory: TensorView::of(ptr, {rows, width}).
  template <class T>
  static TensorView of(T* memory, Shape dims, std::int64_t stride = 0) {
    return {const_cast<std::remove_const_t<T>*>(memory), dims, dtype_of<T>, stride};
  }

  explicit operator bool() const { return data != nullptr; }
  std::int64_t rows() const { return shape.rows(); }
  std::int64_t width() const { return shape[-1]; }
  std::int64_t stride() const { return row_stride ? row_stride : shape[-1]; }
  std::int64_t elements() const { return shape.elements(); }
  std::int64_t bytes() const { return elements() * static_cast<std::int64_t>(size_of(dtype)); }

  /// Typed pointer; a wrong type is a bug and says so.
  template <class T>
  T* as() const {
    check(dtype == dtype_of<std::remove_const_t<T>>, Exit::kUnexpected,
          "a tensor of {} was read as {}", name_of(dtype),
          name_of(dtype_of<std::remove_const_t<T>>));
    return static_cast<T*>(data);
  }
  /// The same memory with another shape of as many elements (dense views only).
  TensorView reshaped(Shape dims) const;
  /// Rows [begin, begin + count) of the view seen as [rows, width].
  TensorView row_slice(std::int64_t begin, std::int64_t count) const;
  /// Columns [begin, begin + count) of every row, as [rows, count] with the old stride.
  TensorView column_slice(std::int64_t begin, std::int64_t count) const;
};

/// Throws a bug report unless the view has this shape; `what` names the argument.
void expect_shape(const TensorView& view, const Shape& shape, std::string_view what);

}  // namespace trireme
