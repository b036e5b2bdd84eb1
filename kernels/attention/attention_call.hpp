#pragma once
// One checked call of attention. Private to kernels/attention.

#include "kernels/attention/attention.hpp"

namespace trireme::kernels::attention {

/// What forward and backward know alike, after all checks of shapes and dtypes.
struct Call {
  Call(const AttentionShape& sizes, const TensorView& queries, const TensorView& keys,
       const TensorView& values, const TensorView& log_sums, const AttentionOptions& chosen);

  /// A view shaped as q (out, dout, dq), or as k.
  void expect_like_queries(const TensorView& view, const char* what) const;
  void expect_like_keys(const TensorView& view, const char* what) const;

  const std::int32_t* starts_of(std::int64_t sample) const {
    return document_start ? document_start + sample * shape.seq : nullptr;
  }
  float* lse_of(std::int64_t sample, std::int64_t head) const {
    return lse.as<float>() + (sample * shape.heads + head) * shape.seq;
  }
  /// Index of ((head, i), 0) in the whole [heads, seq, seq] of a sample.
  std::int64_t dropout_row(std::int64_t head, std::int64_t i) const {
    return ((options.first_head + head) * shape.seq + i) * shape.seq;
  }

  AttentionShape shape;
  const AttentionOptions& options;
  const TensorView& q;
  const TensorView& k;
  const TensorView& v;
  const TensorView& lse;
  const std::int32_t* document_start = nullptr;
  std::int64_t group = 1;  ///< query heads a kv head
  float scale = 1;
};

}  // namespace trireme::kernels::attention
