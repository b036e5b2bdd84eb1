#include "kernels/attention/attention_call.hpp"
#include "kernels/attention/attention_loops.hpp"
#include "kernels/attention/attention_tile.hpp"
#include "kernels/base/parallel.hpp"
#include "kernels/base/vector_math.hpp"
#include "kernels/device_kernels.hpp"

#include <cmath>
#include <limits>

namespace trireme::kernels {
namespace attention {
namespace {

/// What one thread computes: some queries of all heads that read one kv head.
struct Piece {
  std::int64_t sample;
  std::int64_t kv_head;
  Range queries;  ///< whole query blocks; their keys begin at 0
};

/// Forward of a piece. T is the storage type, C the type products run in.
template <class T, class C>
class ForwardPiece {
 public:
  ForwardPiece(const Call& call, const TensorView& out, const Piece& piece)
      : call_(call),
        out_(out),
        piece_(piece),
        strip_(*strip_kernels(dtype_of<C>)),
        products_(strip_),
        first_row_(piece.sample * call.shape.seq),
        width_(call.shape.head_dim),
        width_units_(units_of(width_, strip_.pair)),
        dropout_(call.options.dropout, piece.sample) {
    const std::int64_t keys = piece.queries.end;
    copy_ = frame_.take<C>(std::is_same_v<C, T> ? 0 : std::max(keys, kQueryRows) * width_);
    k_ = RightPanels::take(frame_, strip_, width_, keys);
    v_ = RightPanels::take(frame_, strip_, keys, width_);
    q_ = LeftRows::take(frame_, kQueryRows, width_units_);
    scores_ = {frame_.take<float>(kQueryRows * kStripStride), kStripStride};
    probabilities_ = {reinterpret_cast<std::uint32_t*>(scores_.data), kQueryRows};
    if constexpr (!std::is_same_v<C, float>)
      probabilities_ = LeftRows::take(frame_, kQueryRows, kStripDepth);
    sum_ = {frame_.take<float>(kQueryRows * width_), width_};
  }

  void run() {
    const std::int64_t keys = piece_.queries.end;
    pack(strip_, rows_of(call_.k, 0, piece_.kv_head, keys), keys, width_, true, k_);
    pack(strip_, rows_of(call_.v, 0, piece_.kv_head, keys), keys, width_, false, v_);
    const std::int32_t* starts = call_.starts_of(piece_.sample);
    for (std::int64_t member = 0; member < call_.group; ++member)
      for (std::int64_t i = piece_.queries.begin; i < piece_.queries.end; i += kQueryRows)
        query_block(piece_.kv_head * call_.group + member,
                    QueryBlock(i / kQueryRows, call_.shape.seq, starts));
  }

 private:
  Rows<const C> rows_of(const TensorView& view, std::int64_t first, std::int64_t head,
                        std::int64_t rows) const {
    return as_operand<C>(head_rows<const T>(view, first_row_ + first, head, width_), rows, width_,
                         copy_);
  }

  void query_block(std::int64_t head, const QueryBlock& block) {
    pack(rows_of(call_.q, block.begin, head, block.rows()), block.rows(), width_, q_);
    std::fill_n(largest_, kQueryRows, -std::numeric_limits<float>::infinity());
    std::fill_n(total_, kQueryRows, 0.0f);
    for (std::int64_t key = block.first_key, next = 0; key < block.end; key = next) {
      next = block.tile_end(key);
      for_strips(strip_, block.rows(),
                 [&](const Range& strip) { this->strip(head, block, key, next - key, strip); });
    }
    finish(head, block);
  }

  void strip(std::int64_t head, const QueryBlock& block, std::int64_t key, std::int64_t keys,
             const Range& strip) {
    const bool first = key == block.first_key;
    const std::int64_t seen = block.seen_by(strip, key, keys);
    const RightPanels k{k_.data + key * k_.units, k_.units};
    products_.by_rows(strip, q_, k, {0, width_units_}, {0, round_up(seen, strip_.columns)}, scores_,
                      false);
    for (std::int64_t r = strip.begin; r < strip.end; ++r)
      softmax_row(head, block, r, key, keys, first);
    const RightPanels v{v_.data + key / strip_.pair * strip_.columns, v_.units};
    products_.by_rows(strip, probabilities_, v, {0, units_of(seen, strip_.pair)}, {0, width_}, sum_,
                      !first);
  }

  /// Turns a row of scores into unnormalised probabilities, in place, and rescales what was summed
  /// before by the growth of the maximum.
  void softmax_row(std::int64_t head, const QueryBlock& block, std::int64_t r, std::int64_t key,
                   std::int64_t keys, bool first) {
    const std::int64_t i = block.begin + r;
    const Range seen = block.visible(i, key, keys);
    float* row = scores_.row(r);
    const Range whole = hide_unseen(row, seen, keys, call_.scale);
    const float largest = loops_.largest(row + whole.begin, whole.size(), call_.scale, largest_[r]);
    if (!first && largest != largest_[r]) {
      const float factor = vector_exp(largest_[r] - largest);
      total_[r] *= factor;
      float* __restrict sum = sum_.row(r);
#pragma omp simd
      for (std::int64_t c = 0; c < width_; ++c) sum[c] *= factor;
    }
    largest_[r] = largest;
    total_[r] += loops_.exponentials(row + whole.begin, whole.size(), call_.scale, largest);
    if (call_.options.dropout.active())
      drop(head, row + seen.begin, i, key + seen.begin, seen.size());
    if constexpr (!std::is_same_v<C, float>)
      loops_.round(row, reinterpret_cast<C*>(probabilities_.at(r, 0)), round_up(keys, kRowGrain));
  }

  void drop(std::int64_t head, float* __restrict probability, std::int64_t i, std::int64_t key,
            std::int64_t count) {
    float factors[kKeyColumns];
    dropout_.factors(call_.dropout_row(head, i) + key, count, call_.options.dropout.scale(),
                     factors);
#pragma omp simd
    for (std::int64_t j = 0; j < count; ++j) probability[j] *= factors[j];
  }

  void finish(std::int64_t head, const QueryBlock& block) {
    const auto out = head_rows<T>(out_, first_row_ + block.begin, head, width_);
    float* lse = call_.lse_of(piece_.sample, head) + block.begin;
    for (std::int64_t r = 0; r < block.rows(); ++r) {
      lse[r] = largest_[r] + std::log(total_[r]);
      const float factor = 1.0f / total_[r];
      float* __restrict sum = sum_.row(r);
#pragma omp simd
      for (std::int64_t c = 0; c < width_; ++c) sum[c] *= factor;
      store_row(sum, out.row(r), width_);
    }
  }

  const Call& call_;
  const TensorView& out_;
  const Piece& piece_;
  const StripKernels& strip_;
  const RowLoops& loops_ = row_loops();
  TileProducts products_;
  std::int64_t first_row_;
  std::int64_t width_;
  std::int64_t width_units_;
  DropoutStream dropout_;
  ScratchFrame frame_;
  C* copy_ = nullptr;
  RightPanels k_, v_;
  LeftRows q_{}, probabilities_{};
  Rows<float> scores_{}, sum_{};
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
  if (on_device("attention_forward", {&out, &lse, &q, &k, &v, &options.document_start}))
    return device_kernels().attention_forward(shape, out, lse, q, k, v, options);
  // Whole kv heads where they keep all threads busy: keys and values are packed once a piece.
  const std::int64_t heads = shape.batch * shape.kv_heads;
  const std::int64_t blocks = divide_up(shape.seq, attention::kQueryRows);
  const std::int64_t wanted = divide_up(2 * execution_threads(), std::max<std::int64_t>(heads, 1));
  const std::int64_t parts = heads >= 2 * execution_threads() ? 1 : std::min(blocks, wanted);
  attention::with_types(q.dtype, [&]<class T, class C>(T, C) {
    for_rows(
        "attn.forward", heads * parts, 1,
        [&](std::int64_t item, std::int64_t) {
          // The last part of a sequence costs most: it goes first.
          const Range mine = split_evenly(blocks, parts, parts - 1 - item % parts);
          const std::int64_t head = item / parts;
          const attention::Piece piece{head / shape.kv_heads,
                                       head % shape.kv_heads,
                                       {mine.begin * attention::kQueryRows,
                                        std::min(shape.seq, mine.end * attention::kQueryRows)}};
          attention::ForwardPiece<T, C>(call, out, piece).run();
        },
        Balance::dynamic);
  });
}

}  // namespace trireme::kernels
