#pragma once
// What forward and backward attention share: the geometry of a call, blocks of visible keys, and
// products of tiles. Private to kernels/attention.
//
// A tile is a block of kQueryRows queries of one head against at most kKeyColumns keys. Products of
// tiles are oneDNN's; softmax and masks are loops between them.

#include "kernels/attention/attention.hpp"
#include "kernels/base/checked.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/base/scratch.hpp"
#include "kernels/gemm/product.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace trireme::kernels::attention {

inline constexpr std::int64_t kQueryRows = 64;
inline constexpr std::int64_t kKeyColumns = 256;
static_assert(kKeyColumns % kQueryRows == 0);
/// First keys of a block are rounded down to this, so that few shapes of products occur.
inline constexpr std::int64_t kKeyGrain = 64;

/// A matrix of one head: rows of head_dim elements, `stride` elements apart.
template <class T>
struct Rows {
  T* data;
  std::int64_t stride;
  T* row(std::int64_t r) const { return data + r * stride; }
  Rows from(std::int64_t r) const { return {row(r), stride}; }
};

template <class T>
Rows<T> head_rows(const TensorView& view, std::int64_t first_row, std::int64_t head,
                  std::int64_t head_dim) {
  T* data = view.as<T>();
  return {data + first_row * view.stride() + head * head_dim, view.stride()};
}

/// Queries [begin, end) of a sequence and the keys [first_key, end) that some of them see.
struct QueryBlock {
  std::int64_t begin;
  std::int64_t end;
  std::int64_t first_key;
  const std::int32_t* document_start;  ///< of the sequence; null = 0 everywhere

  QueryBlock(std::int64_t index, std::int64_t seq, const std::int32_t* starts)
      : begin(index * kQueryRows),
        end(std::min(seq, begin + kQueryRows)),
        first_key(starts ? starts[begin] / kKeyGrain * kKeyGrain : 0),
        document_start(starts) {}

  std::int64_t rows() const { return end - begin; }
  /// Where the tile that starts at `key` ends: tiles end at multiples of kKeyColumns, wherever the
  /// first one starts.
  std::int64_t tile_end(std::int64_t key) const {
    return std::min(end, (key / kKeyColumns + 1) * kKeyColumns);
  }
  /// Keys of the tile [key, key + keys) that query `i` sees, relative to `key`; may be empty.
  Range visible(std::int64_t i, std::int64_t key, std::int64_t keys) const {
    const std::int64_t low =
        document_start ? std::max<std::int64_t>(0, document_start[i] - key) : 0;
    const std::int64_t high = std::min(keys, i + 1 - key);
    return {std::min(low, std::max<std::int64_t>(high, 0)), std::max<std::int64_t>(high, 0)};
  }
};

/// c[m, n] (+)= op(a) op(b) by one thread. C is the type the operands are multiplied in.
struct TileForm {
  std::int64_t m, n, k;
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;
};
template <class C>
void multiply(const TileForm& form, Rows<const C> a, Rows<const C> b, Rows<float> c) {
  ProductKey key{.m = form.m, .n = form.n, .k = form.k};
  key.lda = a.stride;
  key.ldb = b.stride;
  key.ldc = c.stride;
  key.operand = dtype_of<C>;
  key.transpose_a = form.transpose_a;
  key.transpose_b = form.transpose_b;
  key.accumulate = form.accumulate;
  const bool ran = run_product(key, {a.data, b.data, nullptr, c.data});
  check(ran, Exit::kUnexpected, "no product of {} tiles", name_of(dtype_of<C>));
}

/// `rows` rows copied side by side, in the type they are multiplied in.
template <class C, class T>
Rows<const C> copied(Rows<const T> source, std::int64_t rows, std::int64_t width, C* copy) {
  for (std::int64_t r = 0; r < rows; ++r) {
    if constexpr (std::is_same_v<C, T>)
      std::memcpy(copy + r * width, source.row(r), static_cast<std::size_t>(width) * sizeof(C));
    else
      load_row(source.row(r), copy + r * width, width);
  }
  return {copy, width};
}

/// The same rows as they lie, where their type allows that and a copy does not pay. Rows of a
/// packed projection lie kilobytes apart: from 512 bytes a row on, products of such tiles are 15 %
/// slower.
template <class C, class T>
Rows<const C> operand(Rows<const T> source, std::int64_t rows, std::int64_t width, C* copy) {
  if constexpr (std::is_same_v<C, T>)
    if (width * static_cast<std::int64_t>(sizeof(C)) < 512) return source;
  return copied<C>(source, rows, width, copy);
}

/// Calls f(T{}, C{}) with the storage type and the type products run in on this CPU.
template <class F>
void with_types(DType dtype, const F& f) {
  with_storage_type(dtype, "q of attention", [&]<class T>(T storage) {
    if (has_native_products(dtype))
      f(storage, storage);
    else
      f(storage, float{});
  });
}

}  // namespace trireme::kernels::attention
