#include "kernels/elementwise/elementwise.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/vector_math.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/columns_cuda.hpp"
#include "kernels/elementwise/row_access.hpp"
#include "kernels/elementwise/row_dropout.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace trireme::kernels {
namespace {

/// Calls f(piece, buffer a, buffer b) for every piece, in parallel.
template <class F>
void for_pieces(const char* label, const Pieces& pieces, const F& f) {
  for_rows(label, pieces.count(), Pieces::kGrain, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float a[Pieces::kWidest];
    alignas(64) float b[Pieces::kWidest];
    for (std::int64_t i = begin; i < end; ++i) f(pieces[i], a, b);
  });
}

std::byte* address(const TensorView& view, std::int64_t row, std::int64_t column) {
  return static_cast<std::byte*>(view.data) +
         (row * view.stride() + column) * static_cast<std::int64_t>(size_of(view.dtype));
}

/// f(begin, end) summed over fixed groups of 32 pieces, in order.
template <class T, class F>
T sum_pieces(const char* label, const TensorView& x, const F& f) {
  const Pieces pieces = Pieces::of({&x});
  return sum_chunks<T>(label, pieces.count(), 32, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float buffer[Pieces::kWidest];
    T sum{};
    for (std::int64_t i = begin; i < end; ++i) {
      const auto piece = pieces[i];
      sum += f(read_row(x, piece.row, piece.column, piece.count, buffer), piece.count);
    }
    return sum;
  });
}

}  // namespace

void copy(const TensorView& source, const TensorView& target) {
  check(source.rows() == target.rows() && source.width() == target.width(), Exit::kUnexpected,
        "can't copy {} to {}", source.shape.text(), target.shape.text());
  const bool same = source.dtype == target.dtype;
  if (!same) {
    expect_floating(source, "copy's source");
    expect_floating(target, "copy's target");
  }
  if (on_device("copy", {&source, &target})) return device_kernels().copy(source, target);
  for_pieces("copy", Pieces::of({&source, &target}), [&](const auto& p, float* a, float*) {
    if (same || target.dtype == DType::f32) {
      // Equal dtypes move bytes; f32 targets are converted straight into place.
      std::byte* to = address(target, p.row, p.column);
      if (same)
        std::memcpy(to, address(source, p.row, p.column),
                    static_cast<std::size_t>(p.count) * size_of(source.dtype));
      else
        read_row(source, p.row, p.column, p.count, reinterpret_cast<float*>(to));
    } else {
      const float* from = read_row(source, p.row, p.column, p.count, a);
      finish_row(target, p.row, p.column, p.count, from);
    }
  });
}

void fill(const TensorView& x, float value) {
  // Zero is all bits zero in every dtype.
  const bool zero = std::bit_cast<std::uint32_t>(value) == 0;
  if (!zero) expect_floating(x, "a fill with a value other than 0");
  if (on_device("fill", {&x})) return device_kernels().fill(x, value);
  for_pieces("fill", Pieces::of({&x}), [&](const auto& p, float* a, float*) {
    if (zero) {
      std::memset(address(x, p.row, p.column), 0,
                  static_cast<std::size_t>(p.count) * size_of(x.dtype));
      return;
    }
    float* out = row_target(x, p.row, p.column, a);
    std::fill(out, out + p.count, value);
    finish_row(x, p.row, p.column, p.count, a);
  });
}

void scale(const TensorView& x, float factor) {
  expect_floating(x, "scale's tensor");
  if (on_device("scale", {&x})) return device_kernels().scale(x, factor);
  for_pieces("scale", Pieces::of({&x}), [&](const auto& p, float* a, float*) {
    const float* in = read_row(x, p.row, p.column, p.count, a);
    float* out = row_target(x, p.row, p.column, a);
#pragma omp simd
    for (std::int64_t i = 0; i < p.count; ++i) out[i] = in[i] * factor;
    finish_row(x, p.row, p.column, p.count, a);
  });
}

void add(const TensorView& a, const TensorView& b, const TensorView& out) {
  expect_floating(a, "a summand");
  expect_like(b, a, "the second summand");
  expect_like(out, a, "the sum");
  if (on_device("add", {&a, &b, &out})) return device_kernels().add(a, b, out);
  for_pieces("add", Pieces::of({&a, &b, &out}), [&](const auto& p, float* first, float* second) {
    const float* x = read_row(a, p.row, p.column, p.count, first);
    const float* y = read_row(b, p.row, p.column, p.count, second);
    float* sum = row_target(out, p.row, p.column, first);
#pragma omp simd
    for (std::int64_t i = 0; i < p.count; ++i) sum[i] = x[i] + y[i];
    finish_row(out, p.row, p.column, p.count, first);
  });
}

void add_scaled(const TensorView& source, float factor, const TensorView& target) {
  expect_floating(target, "add_scaled's target");
  expect_like(source, target, "add_scaled's source");
  if (on_device("add_scaled", {&source, &target}))
    return device_kernels().add_scaled(source, factor, target);
  const Pieces pieces = Pieces::of({&source, &target});
  for_pieces("add_scaled", pieces, [&](const auto& p, float* a, float* b) {
    const float* x = read_row(source, p.row, p.column, p.count, a);
    const float* old = read_row(target, p.row, p.column, p.count, b);
    float* out = row_target(target, p.row, p.column, b);
#pragma omp simd
    for (std::int64_t i = 0; i < p.count; ++i) out[i] = std::fma(factor, x[i], old[i]);
    finish_row(target, p.row, p.column, p.count, b);
  });
}

double sum_of_squares(const TensorView& x) {
  expect_floating(x, "sum_of_squares' tensor");
  if (on_device("sum_of_squares", {&x})) return device_kernels().sum_of_squares(x);
  return sum_pieces<double>("sum_of_squares", x, [](const float* row, std::int64_t count) {
    return lane_sum<double>(count, [row](std::int64_t i) {
      const double value = row[i];  // 24 bits squared fit 53: the product is exact
      return value * value;
    });
  });
}

std::int64_t count_non_finite(const TensorView& x) {
  expect_floating(x, "count_non_finite's tensor");
  if (on_device("count_non_finite", {&x})) return device_kernels().count_non_finite(x);
  return sum_pieces<std::int64_t>("count_non_finite", x, [](const float* row, std::int64_t count) {
    return std::int64_t{lane_sum<std::int32_t>(count, [row](std::int64_t i) {
      constexpr std::uint32_t kExponent = 0x7f800000u;
      return (std::bit_cast<std::uint32_t>(row[i]) & kExponent) == kExponent ? 1 : 0;
    })};
  });
}

void column_sums(const TensorView& x, const TensorView& out, bool accumulate) {
  expect_floating(x, "column_sums' tensor");
  const std::int64_t width = x.width();
  expect_floats(out, width, "column sums");
  if (on_device("column_sums", {&x, &out})) return device_kernels().column_sums(x, out, accumulate);
  const RowParts parts(x.rows());
  ScratchFrame frame;
  float* partial = frame.take<float>(parts.count * width);
  const auto sum = [&](std::int64_t part, std::int64_t begin, std::int64_t end) {
    ScratchFrame own;
    float* buffer = own.take<float>(width);
    float* to = partial + part * width;
    std::fill(to, to + width, 0.0f);
    for (std::int64_t row = begin; row < end; ++row) {
      const float* in = read_row(x, row, 0, width, buffer);
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) to[c] += in[c];
    }
  };
  for_chunks("column_sums", x.rows(), parts.size, sum);
  join_columns(partial, parts.count, width, width, static_cast<float*>(out.data), accumulate);
}

void check_dropout(const RowDropout& dropout, std::int64_t tokens) {
  check(!dropout.active() || (dropout.positions > 0 && tokens % dropout.positions == 0),
        Exit::kUnexpected, "dropout: {} rows are no whole samples of {} positions", tokens,
        dropout.positions);
}

void apply_dropout(const TensorView& x, const RowDropout& dropout, const TensorView& y) {
  expect_floating(x, "dropout's input");
  expect_like(y, x, "dropout's output");
  check_dropout(dropout, x.rows());
  if (!dropout.active()) {
    if (y.data != x.data) copy(x, y);
    return;
  }
  if (on_device("apply_dropout", {&x, &y})) return device_kernels().apply_dropout(x, dropout, y);
  const std::int64_t width = x.width();
  for_rows("dropout", x.rows(), row_grain(width), [&](std::int64_t begin, std::int64_t end) {
    ScratchFrame frame;
    float* buffer = frame.take<float>(width);
    float* factors = frame.take<float>(width);
    for (std::int64_t row = begin; row < end; ++row) {
      dropout.factors(row, width, factors);
      const float* in = read_row(x, row, 0, width, buffer);
      float* out = row_target(y, row, 0, buffer);
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) out[c] = in[c] * factors[c];
      finish_row(y, row, 0, width, buffer);
    }
  });
}

std::int64_t column_sums_workspace(std::int64_t rows, std::int64_t width) {
  return DeviceRowParts(rows).count * width * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace trireme::kernels
