#include "kernels/elementwise/row_access.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/base/wide_loops.hpp"
#include "kernels/elementwise/row_store.hpp"

#include <algorithm>

namespace trireme::kernels {
namespace {

template <class T>
T* element(const TensorView& view, std::int64_t row, std::int64_t column) {
  return static_cast<T*>(view.data) + row * view.stride() + column;
}

void store_rounded(const float* source, BFloat16* out, std::int64_t count) {
  if (wide_loops())
    store_row_avx512(source, out, count);
  else
    store_row(source, out, count);
}

bool is_dense(const TensorView& view) { return view.stride() == view.width() || view.rows() == 1; }

}  // namespace

void expect_floating(const TensorView& view, const char* what) {
  check(view.data != nullptr || view.elements() == 0, Exit::kUnexpected, "{} has no memory", what);
  check(view.dtype == DType::f32 || view.dtype == DType::bf16 || view.dtype == DType::f16,
        Exit::kUnexpected, "expected f32, bf16 or f16 for {}, found {}", what, name_of(view.dtype));
}

void expect_like(const TensorView& view, const TensorView& model, const char* what) {
  expect_floating(view, what);
  check(view.rows() == model.rows() && view.width() == model.width(), Exit::kUnexpected,
        "{} has shape {}, expected {}", what, view.shape.text(), model.shape.text());
}

void expect_floats(const TensorView& view, std::int64_t elements, const char* what) {
  expect_floating(view, what);
  check(view.dtype == DType::f32 && view.elements() == elements && is_dense(view),
        Exit::kUnexpected, "expected {} dense f32 for {}, found {} {}", elements, what,
        view.shape.text(), name_of(view.dtype));
}

void expect_ids(const TensorView& view, std::int64_t elements, const char* what) {
  check(view.dtype == DType::i32 && view.elements() == elements && is_dense(view),
        Exit::kUnexpected, "expected {} dense i32 for {}, found {} {}", elements, what,
        view.shape.text(), name_of(view.dtype));
}

const float* read_row(const TensorView& view, std::int64_t row, std::int64_t column,
                      std::int64_t count, float* buffer) {
  switch (view.dtype) {
    case DType::bf16: load_row(element<BFloat16>(view, row, column), buffer, count); return buffer;
    case DType::f16: load_row(element<Float16>(view, row, column), buffer, count); return buffer;
    default: return element<float>(view, row, column);
  }
}

float* row_target(const TensorView& view, std::int64_t row, std::int64_t column, float* buffer) {
  return view.dtype == DType::f32 ? element<float>(view, row, column) : buffer;
}

void finish_row(const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count,
                const float* buffer) {
  switch (view.dtype) {
    case DType::bf16: store_rounded(buffer, element<BFloat16>(view, row, column), count); return;
    case DType::f16: store_row(buffer, element<Float16>(view, row, column), count); return;
    default: return;  // computed in place
  }
}

Pieces Pieces::of(std::initializer_list<const TensorView*> views) {
  const TensorView& first = **views.begin();
  const bool dense =
      std::all_of(views.begin(), views.end(), [](const TensorView* v) { return is_dense(*v); });
  return dense ? Pieces(1, first.elements()) : Pieces(first.rows(), first.width());
}

void join_columns(const float* partial, std::int64_t parts, std::int64_t stride, std::int64_t width,
                  float* out, bool accumulate) {
  constexpr std::int64_t kColumns = 512;
  for_rows("join_columns", width, kColumns, [=](std::int64_t begin, std::int64_t end) {
    // The parts are added up first: what was there takes one rounding.
    float sum[kColumns] = {};
    const std::int64_t count = end - begin;
    for (std::int64_t part = 0; part < parts; ++part) {
      const float* __restrict from = partial + part * stride + begin;
#pragma omp simd
      for (std::int64_t c = 0; c < count; ++c) sum[c] += from[c];
    }
    for (std::int64_t c = 0; c < count; ++c)
      out[begin + c] = accumulate ? out[begin + c] + sum[c] : sum[c];
  });
}

}  // namespace trireme::kernels
