#include "kernels/attention/attention_workspace.hpp"

#include "kernels/base/checked.hpp"

#include <algorithm>

namespace trireme::kernels {
namespace attention {
namespace {

constexpr std::int64_t kFloat = sizeof(float);
constexpr std::int64_t kSlack = std::int64_t{1} << 20;
constexpr std::int64_t kMost = std::int64_t{8} << 30;

}  // namespace

std::int64_t own_backward_bytes(const AttentionShape& shape) {
  return shape.tokens() * shape.heads * kFloat;
}

std::int64_t cudnn_bytes(const AttentionShape& shape, bool backward) {
  constexpr std::int64_t kTile = 128;
  const std::int64_t rows = shape.batch * shape.heads * round_up(shape.seq, kTile);
  const std::int64_t statistics = 2 * rows * kFloat + kSlack;
  if (!backward) return statistics;
  const std::int64_t scores = rows * round_up(shape.seq, kTile) * 2;
  const std::int64_t gradients = shape.heads == shape.kv_heads ? 1 : 3;  // dq; dk and dv
  const std::int64_t bytes = scores + gradients * rows * shape.head_dim * kFloat + statistics;
  return bytes <= kMost ? bytes : 0;
}

}  // namespace attention

namespace {

bool narrow_type(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

}  // namespace

std::int64_t attention_forward_workspace(const AttentionShape& shape, DType dtype, bool fusible) {
  return narrow_type(dtype) && fusible ? attention::cudnn_bytes(shape, false) : 0;
}

std::int64_t attention_backward_workspace(const AttentionShape& shape, DType dtype, bool fusible) {
  const std::int64_t own = attention::own_backward_bytes(shape);
  return narrow_type(dtype) && fusible ? std::max(own, attention::cudnn_bytes(shape, true)) : own;
}

}  // namespace trireme::kernels
