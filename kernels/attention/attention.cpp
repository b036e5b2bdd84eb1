// Checks and sizes of attention; the work is in attention_forward.cpp and attention_backward.cpp.

#include "kernels/attention/attention_call.hpp"
#include "kernels/attention/attention_loops.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/wide_loops.hpp"
#include "kernels/device_kernels.hpp"

#include <cmath>

namespace trireme::kernels {
namespace attention {
namespace {

void expect_rows(const TensorView& view, std::int64_t tokens, std::int64_t width, DType dtype,
                 const char* what) {
  check(view.rows() == tokens && view.width() == width && view.dtype == dtype, Exit::kUnexpected,
        "{} of attention is {} {}, expected {} [{}, {}]", what, name_of(view.dtype),
        view.shape.text(), name_of(dtype), tokens, width);
}

void check_document_start(const Call& call) {
  for (std::int64_t t = 0; t < call.shape.tokens(); ++t) {
    const std::int64_t position = t % call.shape.seq;
    const std::int32_t start = call.document_start[t];
    const std::int32_t before = position > 0 ? call.document_start[t - 1] : 0;
    check(before <= start && start <= position, Exit::kUnexpected,
          "document_start[{}] is {}, expected a number in [{}, {}]", t, start, before, position);
  }
}

}  // namespace

Call::Call(const AttentionShape& sizes, const TensorView& queries, const TensorView& keys,
           const TensorView& values, const TensorView& log_sums, const AttentionOptions& chosen)
    : shape(sizes), options(chosen), q(queries), k(keys), v(values), lse(log_sums) {
  check(shape.batch > 0 && shape.seq > 0 && shape.heads > 0 && shape.head_dim > 0,
        Exit::kUnexpected, "attention of batch {}, seq {}, heads {}, head_dim {}", shape.batch,
        shape.seq, shape.heads, shape.head_dim);
  group = divide_exactly(shape.heads, shape.kv_heads, "heads", "kv_heads");
  scale = options.scale != 0 ? options.scale : 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  expect_like_queries(q, "q");
  expect_like_keys(k, "k");
  expect_like_keys(v, "v");
  expect_shape(lse, {shape.batch, shape.heads, shape.seq}, "lse");
  if (options.document_start) {
    expect_shape(options.document_start, {shape.tokens()}, "document_start");
    document_start = options.document_start.as<const std::int32_t>();
    if (options.document_start.space == MemorySpace::host) check_document_start(*this);
  }
}

void Call::expect_like_queries(const TensorView& view, const char* what) const {
  expect_rows(view, shape.tokens(), shape.heads * shape.head_dim, q.dtype, what);
}

void Call::expect_like_keys(const TensorView& view, const char* what) const {
  expect_rows(view, shape.tokens(), shape.kv_heads * shape.head_dim, q.dtype, what);
}

const RowLoops& row_loops() { return wide_loops() ? row_loops_avx512() : row_loops_avx2(); }

}  // namespace attention

std::string attention_path(DType dtype, MemorySpace space) {
  return space == MemorySpace::host ? "own kernels" : device_kernels().attention_path(dtype, space);
}

double attention_forward_flops(const AttentionShape& shape) {
  const auto pairs = static_cast<double>(shape.seq) * static_cast<double>(shape.seq + 1) / 2;
  return 4.0 * pairs * static_cast<double>(shape.batch * shape.heads * shape.head_dim);
}

double attention_backward_flops(const AttentionShape& shape) {
  return 2.5 * attention_forward_flops(shape);
}

}  // namespace trireme::kernels
