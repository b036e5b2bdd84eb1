#pragma once
// What forward and backward attention share: the geometry of a call, blocks of visible keys, and
// products of tiles. Private to kernels/attention.
//
// A tile is a block of kQueryRows queries of one head against at most kKeyColumns keys. Its
// products are made strip by strip (kernels/gemm/strip.hpp), which leaves out what lies above the
// diagonal to within a strip and a panel; softmax and masks are loops between them.

#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_loops.hpp"
#include "kernels/base/checked.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/base/scratch.hpp"
#include "kernels/gemm/panels.hpp"
#include "kernels/gemm/strip.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace trireme::kernels::attention {

inline constexpr std::int64_t kQueryRows = 64;
inline constexpr std::int64_t kKeyColumns = 256;
static_assert(kKeyColumns % kQueryRows == 0 && kKeyColumns <= kStripDepth);
/// First keys of a block are rounded down to this.
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
  /// Keys of the tile that some query of `strip` (rows of the block) sees, counted from `key`.
  std::int64_t seen_by(const Range& strip, std::int64_t key, std::int64_t keys) const {
    return std::clamp<std::int64_t>(begin + strip.end - key, 0, keys);
  }
};

/// The rows [0, total) in strips as even as may be.
template <class F>
void for_strips(const StripKernels& strip, std::int64_t total, const F& f) {
  const std::int64_t strips = divide_up(total, strip.rows);
  for (std::int64_t s = 0; s < strips; ++s) f(split_evenly(total, strips, s));
}

/// A left operand of tiles by rows: units beyond kStripDepth follow in further blocks of rows.
struct LeftRows {
  std::uint32_t* data;
  std::int64_t rows;  ///< of a block

  static LeftRows take(ScratchFrame& frame, std::int64_t rows, std::int64_t units) {
    const std::int64_t blocks = divide_up(units, kStripDepth);
    return {frame.take<std::uint32_t>(blocks * rows * kStripStride), rows};
  }
  std::uint32_t* at(std::int64_t row, std::int64_t unit) const {
    return data + (unit / kStripDepth * rows + row) * kStripStride + unit % kStripDepth;
  }
};

/// A right operand of tiles.
struct RightPanels {
  std::uint32_t* data = nullptr;
  std::int64_t units = 0;  ///< of depth, in every panel

  static RightPanels take(ScratchFrame& frame, const StripKernels& strip, std::int64_t depth,
                          std::int64_t columns) {
    const std::int64_t units = units_of(depth, strip.pair);
    return {frame.take<std::uint32_t>(units * round_up(columns, strip.columns)), units};
  }
};

/// Products into rows of a tile, by one thread.
class TileProducts {
 public:
  explicit TileProducts(const StripKernels& strip) : strip_(strip) {}

  /// c[strip, columns] (+)= left[strip, units] right[units, columns]; `first_column` of right is
  /// column 0 of c and begins a panel.
  void by_rows(const Range& strip, const LeftRows& left, const RightPanels& right, Range units,
               Range columns, Rows<float> c, bool accumulate) const {
    while (units.size() > 0) {
      const std::int64_t next = std::min(units.end, (units.begin / kStripDepth + 1) * kStripDepth);
      StripProduct product{.a = left.at(strip.begin, units.begin), .rows = strip.size()};
      run(product, right, {units.begin, next}, columns, c.from(strip.begin), accumulate);
      accumulate = true;
      units.begin = next;
    }
  }

  /// c[strip, columns] += left^T right: unit u of left's depth is a row of kStripStride units at
  /// left + u * kStripStride, of which the strip's are columns.
  void by_columns(const Range& strip, const std::uint32_t* left, const RightPanels& right,
                  const Range& units, std::int64_t columns, Rows<float> c) const {
    StripProduct product{.a = left + units.begin * kStripStride + strip.begin,
                         .a_step = kStripStride,
                         .by_columns = true,
                         .rows = strip.size()};
    run(product, right, units, {0, columns}, c.from(strip.begin), true);
  }

 private:
  void run(StripProduct& product, const RightPanels& right, const Range& units,
           const Range& columns, Rows<float> c, bool accumulate) const {
    product.depth = units.size();
    product.c_stride = c.stride;
    product.accumulate = accumulate;
    for (std::int64_t j = columns.begin; j < columns.end; j += strip_.columns) {
      product.panel = right.data + j * right.units + units.begin * strip_.columns;
      product.c = c.data + j - columns.begin;
      product.columns = std::min(strip_.columns, columns.end - j);
      strip_.multiply(product);
    }
  }

  const StripKernels& strip_;
};

/// Makes a row of scores [0, keys) whole vectors: what is not seen gets a score of minus infinity
/// inside the returned range, which the loops run over, and zero (its probability) outside.
inline Range hide_unseen(float* row, const Range& seen, std::int64_t keys, float scale) {
  const std::int64_t end = round_up(keys, kRowGrain);
  if (seen.size() == 0) {
    std::fill(row, row + end, 0.0f);
    return {0, 0};
  }
  const Range whole{seen.begin / kRowGrain * kRowGrain, round_up(seen.end, kRowGrain)};
  const float hidden = std::copysign(std::numeric_limits<float>::infinity(), -scale);
  std::fill(row, row + whole.begin, 0.0f);
  std::fill(row + whole.begin, row + seen.begin, hidden);
  std::fill(row + seen.end, row + whole.end, hidden);
  std::fill(row + whole.end, row + end, 0.0f);
  return whole;
}

/// Rows in the type they are multiplied in: where they lie, or converted into `copy`.
template <class C, class T>
Rows<const C> as_operand(Rows<const T> source, std::int64_t rows, std::int64_t width, C* copy) {
  if constexpr (std::is_same_v<C, T>) {
    return source;
  } else {
    for (std::int64_t r = 0; r < rows; ++r) load_row(source.row(r), copy + r * width, width);
    return {copy, width};
  }
}

/// Packs rows [rows, width] as a right operand: as they are, or transposed.
template <class C>
void pack(const StripKernels& strip, Rows<const C> source, std::int64_t rows, std::int64_t width,
          bool transposed, const RightPanels& out) {
  pack_panels(source.data, source.stride, transposed, transposed ? width : rows,
              transposed ? rows : width, strip.columns, out.data);
}

template <class C>
void pack(Rows<const C> source, std::int64_t rows, std::int64_t width, const LeftRows& out) {
  constexpr std::int64_t kBlock = kStripDepth * 4 / static_cast<std::int64_t>(sizeof(C));
  for (std::int64_t first = 0; first < width; first += kBlock)
    pack_rows(source.data + first, source.stride, std::min(kBlock, width - first), rows,
              out.at(0, first / kBlock * kStripDepth));
}

/// Calls f(T{}, C{}) with the storage type and the type products run in on this CPU.
template <class F>
void with_types(DType dtype, const F& f) {
  with_storage_type(dtype, "q of attention", [&]<class T>(T storage) {
    if constexpr (!std::is_same_v<T, Float16>) {
      if (strip_kernels(dtype)) return f(storage, storage);
    }
    f(storage, float{});
  });
}

}  // namespace trireme::kernels::attention
