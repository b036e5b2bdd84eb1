#include "kernels/attention/attention_call.hpp"
#include "kernels/attention/attention_tile.hpp"
#include "kernels/base/parallel.hpp"
#include "kernels/base/vector_math.hpp"

#include <cmath>
#include <limits>

namespace trireme::kernels {
namespace attention {
namespace {

/// Forward of one query block of one head. T is the storage type, C the type products run in.
template <class T, class C>
class ForwardBlock {
 public:
  ForwardBlock(const Call& call, const TensorView& out, std::int64_t sample, std::int64_t head,
               std::int64_t index)
      : call_(call),
        block_(index, call.shape.seq, call.starts_of(sample)),
        head_(head),
        width_(call.shape.head_dim),
        dropout_(call.options.dropout, sample) {
    const std::int64_t first_row = sample * call.shape.seq;
    q_ = head_rows<const T>(call.q, first_row + block_.begin, head, width_);
    k_ = head_rows<const T>(call.k, first_row, head / call.group, width_);
    v_ = head_rows<const T>(call.v, first_row, head / call.group, width_);
    out_ = head_rows<T>(out, first_row + block_.begin, head, width_);
    lse_ = call.lse_of(sample, head) + block_.begin;
    scores_ = {frame_.take<float>(kQueryRows * kKeyColumns), kKeyColumns};
    if constexpr (std::is_same_v<C, float>)
      probabilities_ = scores_;
    else
      probabilities_ = {frame_.take<C>(kQueryRows * kKeyColumns), kKeyColumns};
    sum_ = {frame_.take<float>(kQueryRows * width_), width_};
    q_copy_ = frame_.take<C>(kQueryRows * width_);
    k_copy_ = frame_.take<C>(kKeyColumns * width_);
  }

  void run() {
    const auto q = operand<C>(q_, block_.rows(), width_, q_copy_);
    std::fill_n(largest_, kQueryRows, -std::numeric_limits<float>::infinity());
    std::fill_n(total_, kQueryRows, 0.0f);
    for (std::int64_t key = block_.first_key, next = 0; key < block_.end; key = next) {
      next = block_.tile_end(key);
      const std::int64_t keys = next - key;
      const bool first = key == block_.first_key;
      multiply<C>({.m = block_.rows(), .n = keys, .k = width_, .transpose_b = true}, q,
                  operand<C>(k_.from(key), keys, width_, k_copy_), scores_);
      for (std::int64_t r = 0; r < block_.rows(); ++r) softmax_row(r, key, keys, first);
      multiply<C>({.m = block_.rows(), .n = width_, .k = keys, .accumulate = !first},
                  Rows<const C>{probabilities_.data, probabilities_.stride},
                  operand<C>(v_.from(key), keys, width_, k_copy_), sum_);
    }
    finish();
  }

 private:
  /// Turns a row of scores into unnormalised probabilities, in place, and rescales what was summed
  /// before by the growth of the maximum.
  void softmax_row(std::int64_t r, std::int64_t key, std::int64_t keys, bool first) {
    const std::int64_t i = block_.begin + r;
    const Range seen = block_.visible(i, key, keys);
    const float scale = call_.scale;
    float* __restrict row = scores_.row(r);
    float largest = largest_[r];
#pragma omp simd reduction(max : largest)
    for (std::int64_t j = seen.begin; j < seen.end; ++j)
      largest = std::max(largest, scale * row[j]);

    if (!first && largest != largest_[r]) {
      const float factor = vector_exp(largest_[r] - largest);
      total_[r] *= factor;
      float* __restrict sum = sum_.row(r);
#pragma omp simd
      for (std::int64_t c = 0; c < width_; ++c) sum[c] *= factor;
    }
    largest_[r] = largest;

#pragma omp simd
    for (std::int64_t j = seen.begin; j < seen.end; ++j)
      row[j] = vector_exp(scale * row[j] - largest);
    total_[r] += lane_sum<float>(seen.size(), [&](std::int64_t j) { return row[seen.begin + j]; });
    if (call_.options.dropout.active()) drop(row + seen.begin, i, key + seen.begin, seen.size());
    std::fill(row, row + seen.begin, 0.0f);
    std::fill(row + seen.end, row + keys, 0.0f);
    if constexpr (!std::is_same_v<C, float>) store_row(row, probabilities_.row(r), keys);
  }

  void drop(float* __restrict probability, std::int64_t i, std::int64_t key, std::int64_t count) {
    float factors[kKeyColumns];
    dropout_.factors(call_.dropout_row(head_, i) + key, count, call_.options.dropout.scale(),
                     factors);
#pragma omp simd
    for (std::int64_t j = 0; j < count; ++j) probability[j] *= factors[j];
  }

  void finish() {
    for (std::int64_t r = 0; r < block_.rows(); ++r) {
      lse_[r] = largest_[r] + std::log(total_[r]);
      const float factor = 1.0f / total_[r];
      float* __restrict sum = sum_.row(r);
#pragma omp simd
      for (std::int64_t c = 0; c < width_; ++c) sum[c] *= factor;
      store_row(sum, out_.row(r), width_);
    }
  }

  const Call& call_;
  QueryBlock block_;
  std::int64_t head_;
  std::int64_t width_;
  DropoutStream dropout_;
  ScratchFrame frame_;
  Rows<const T> q_{}, k_{}, v_{};
  Rows<T> out_{};
  float* lse_ = nullptr;
  Rows<float> scores_{};
  Rows<C> probabilities_{};
  Rows<float> sum_{};
  C* q_copy_ = nullptr;
  C* k_copy_ = nullptr;
  float largest_[kQueryRows];
  float total_[kQueryRows];
};

}  // namespace
}  // namespace attention

void attention_forward(const AttentionShape& shape, const TensorView& out, const TensorView& lse,
                       const TensorView& q, const TensorView& k, const TensorView& v,
                       const AttentionOptions& options) {
  const attention::Call call(shape, q, k, v, lse, options);
  call.expect_like_queries(out, "out");
  const std::int64_t blocks = divide_up(shape.seq, attention::kQueryRows);
  attention::with_types(q.dtype, [&]<class T, class C>(T, C) {
    for_rows(
        "attn.forward", shape.batch * shape.heads * blocks, 1,
        [&](std::int64_t item, std::int64_t) {
          // The last block of a sequence costs most: it goes first.
          const std::int64_t block = blocks - 1 - item % blocks;
          const std::int64_t head = item / blocks % shape.heads;
          const std::int64_t sample = item / blocks / shape.heads;
          attention::ForwardBlock<T, C>(call, out, sample, head, block).run();
        },
        Balance::dynamic);
  });
}

}  // namespace trireme::kernels
