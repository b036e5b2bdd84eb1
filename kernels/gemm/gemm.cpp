#include "kernels/gemm/gemm.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/gemm/gemm_sizes.hpp"
#include "kernels/gemm/product.hpp"

#include <algorithm>

namespace trireme::kernels {
namespace {

// Tiles of the widened product: three of at most 1024 x 2048 floats (8 MiB each) are alive.
constexpr std::int64_t kTileRows = 1024;
constexpr std::int64_t kTileColumns = 1024;
constexpr std::int64_t kTileDepth = 2048;

/// Rows and columns of a stored matrix as dense fp32.
void widen(const TensorView& source, std::int64_t row, std::int64_t rows, std::int64_t column,
           std::int64_t columns, float* out) {
  with_storage_type(source.dtype, "an operand", [&]<class T>(T) {
    const T* data = source.as<T>() + row * source.stride() + column;
    for_rows("gemm.widen", rows, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        load_row(data + r * source.stride(), out + r * columns, columns);
    });
  });
}

void narrow_tile(const float* source, const TensorView& out, std::int64_t row, std::int64_t rows,
                 std::int64_t column, std::int64_t columns) {
  with_storage_type(out.dtype, "a result", [&]<class T>(T) {
    T* data = out.as<T>() + row * out.stride() + column;
    for_rows("gemm.narrow", rows, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        store_row(source + r * columns, data + r * out.stride(), columns);
    });
  });
}

/// The product in fp32 on tiles of widened operands, for CPUs without 16-bit products. A result in
/// 16 bits is rounded once, from the fp32 sum over the whole depth.
class WidenedProduct {
 public:
  WidenedProduct(const TensorView& c, const TensorView& a, const TensorView& b, GemmSizes sizes,
                 const GemmOptions& options)
      : c_(c), a_(a), b_(b), sizes_(sizes), options_(options) {
    const std::int64_t rows = std::min(kTileRows, sizes.m);
    const std::int64_t columns = std::min(kTileColumns, sizes.n);
    const std::int64_t depth = std::min(kTileDepth, sizes.k);
    tile_a_ = frame_.take<float>(rows * depth);
    tile_b_ = frame_.take<float>(depth * columns);
    tile_c_ = frame_.take<float>(rows * columns);
    if (options.bias) {
      bias_ = frame_.take<float>(sizes.n);
      widen(options.bias, 0, 1, 0, sizes.n, bias_);
    }
  }

  void run() const {
    for (std::int64_t j = 0; j < sizes_.n; j += kTileColumns)
      for (std::int64_t i = 0; i < sizes_.m; i += kTileRows)
        tile(i, std::min(kTileRows, sizes_.m - i), j, std::min(kTileColumns, sizes_.n - j));
  }

 private:
  void tile(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t columns) const {
    const bool direct = c_.dtype == DType::f32;
    float* c = direct ? c_.as<float>() + i * c_.stride() + j : tile_c_;
    if (!direct && options_.accumulate) widen(c_, i, rows, j, columns, tile_c_);
    for (std::int64_t l = 0; l < sizes_.k; l += kTileDepth) {
      const std::int64_t depth = std::min(kTileDepth, sizes_.k - l);
      if (options_.transpose_a)
        widen(a_, l, depth, i, rows, tile_a_);
      else
        widen(a_, i, rows, l, depth, tile_a_);
      if (options_.transpose_b)
        widen(b_, j, columns, l, depth, tile_b_);
      else
        widen(b_, l, depth, j, columns, tile_b_);
      ProductKey key{.m = rows, .n = columns, .k = depth};
      key.lda = options_.transpose_a ? rows : depth;
      key.ldb = options_.transpose_b ? depth : columns;
      key.ldc = direct ? c_.stride() : columns;
      key.transpose_a = options_.transpose_a;
      key.transpose_b = options_.transpose_b;
      key.alpha = options_.alpha;
      key.accumulate = options_.accumulate || l > 0;
      if (bias_ && l == 0) key.bias = DType::f32;
      run_product(key, {tile_a_, tile_b_, key.bias ? bias_ + j : nullptr, c});
    }
    if (!direct) narrow_tile(tile_c_, c_, i, rows, j, columns);
  }

  const TensorView& c_;
  const TensorView& a_;
  const TensorView& b_;
  GemmSizes sizes_;
  const GemmOptions& options_;
  ScratchFrame frame_;
  float* tile_a_ = nullptr;
  float* tile_b_ = nullptr;
  float* tile_c_ = nullptr;
  float* bias_ = nullptr;
};

}  // namespace

GemmSizes checked_sizes(const TensorView& c, const TensorView& a, const TensorView& b,
                        const GemmOptions& options) {
  const std::int64_t m = options.transpose_a ? a.width() : a.rows();
  const std::int64_t k = options.transpose_a ? a.rows() : a.width();
  const std::int64_t k_of_b = options.transpose_b ? b.width() : b.rows();
  const std::int64_t n = options.transpose_b ? b.rows() : b.width();
  check(k == k_of_b && c.rows() == m && c.width() == n, Exit::kUnexpected,
        "a product {}{} x {}{} does not give {}", a.shape.text(), options.transpose_a ? "^T" : "",
        b.shape.text(), options.transpose_b ? "^T" : "", c.shape.text());
  check(a.dtype == b.dtype && (c.dtype == a.dtype || c.dtype == DType::f32), Exit::kUnexpected,
        "a product of {} and {} can't give {}", name_of(a.dtype), name_of(b.dtype),
        name_of(c.dtype));
  if (options.bias) {
    expect_shape(options.bias, {n}, "bias");
    check(options.bias.dtype == b.dtype || options.bias.dtype == DType::f32, Exit::kUnexpected,
          "expected a bias of {} or f32, found {}", name_of(b.dtype), name_of(options.bias.dtype));
    check(!options.accumulate && options.alpha == 1, Exit::kUnexpected,
          "a product with bias takes neither accumulate nor alpha");
  }
  check(m == 0 || n == 0 || k > 0, Exit::kUnexpected, "a product over an empty dim: {} x {}",
        a.shape.text(), b.shape.text());
  return {m, n, k};
}

void gemm(const TensorView& c, const TensorView& a, const TensorView& b,
          const GemmOptions& options) {
  const GemmSizes sizes = checked_sizes(c, a, b, options);
  if (sizes.m == 0 || sizes.n == 0) return;
  if (on_device("gemm", {&c, &a, &b, &options.bias}))
    return device_kernels().gemm(c, a, b, options);
  ProductKey key{.m = sizes.m, .n = sizes.n, .k = sizes.k};
  key.lda = a.stride();
  key.ldb = b.stride();
  key.ldc = c.stride();
  key.operand = a.dtype;
  key.result = c.dtype;
  if (options.bias) key.bias = options.bias.dtype;
  key.transpose_a = options.transpose_a;
  key.transpose_b = options.transpose_b;
  key.accumulate = options.accumulate;
  key.alpha = options.alpha;
  if (!run_product(key, {a.data, b.data, options.bias.data, c.data}))
    WidenedProduct(c, a, b, sizes, options).run();
}

}  // namespace trireme::kernels
