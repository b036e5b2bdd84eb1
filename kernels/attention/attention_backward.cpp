#include "kernels/attention/attention_call.hpp"
#include "kernels/attention/attention_tile.hpp"
#include "kernels/base/parallel.hpp"
#include "kernels/base/vector_math.hpp"

#include <cmath>

namespace trireme::kernels {
namespace attention {
namespace {

struct Gradients {
  const TensorView& dq;
  const TensorView& dk;
  const TensorView& dv;
  const TensorView& dout;
  const TensorView& out;
};

/// What one thread computes of a kv head: all its gradients, or, where threads outnumber the heads,
/// dq of some queries or dk and dv of some keys. Either way the same tiles are summed in the same
/// order, so the bits are the same; scores are then computed twice.
struct Piece {
  std::int64_t sample;
  std::int64_t kv_head;
  Range queries;  ///< whole query blocks
  Range keys;     ///< whole tiles
  bool to_queries = true;
  bool to_keys = true;
};

/// Backward of a piece, with all query heads that read its kv head: dk and dv are summed over them
/// in a fixed order, in fp32, and rounded once.
template <class T, class C>
class BackwardPiece {
 public:
  BackwardPiece(const Call& call, const Gradients& gradients, const Piece& piece)
      : call_(call),
        gradients_(gradients),
        piece_(piece),
        first_row_(piece.sample * call.shape.seq),
        width_(call.shape.head_dim),
        dropout_(call.options.dropout, piece.sample) {
    k_ = copied_keys(call.k);
    v_ = copied_keys(call.v);
    dk_ = {frame_.take<float>(piece.keys.size() * width_), width_};
    dv_ = {frame_.take<float>(piece.keys.size() * width_), width_};
    dq_ = {frame_.take<float>(kQueryRows * width_), width_};
    scores_ = {frame_.take<float>(kQueryRows * kKeyColumns), kKeyColumns};
    dscores_ = {frame_.take<float>(kQueryRows * kKeyColumns), kKeyColumns};
    if constexpr (std::is_same_v<C, float>) {
      probability_operand_ = scores_;
      dscore_operand_ = dscores_;
    } else {
      probability_operand_ = {frame_.take<C>(kQueryRows * kKeyColumns), kKeyColumns};
      dscore_operand_ = {frame_.take<C>(kQueryRows * kKeyColumns), kKeyColumns};
    }
    q_copy_ = frame_.take<C>(kQueryRows * width_);
    dout_copy_ = frame_.take<C>(kQueryRows * width_);
  }

  void run() {
    std::fill_n(dk_.data, piece_.keys.size() * width_, 0.0f);
    std::fill_n(dv_.data, piece_.keys.size() * width_, 0.0f);
    const std::int32_t* starts = call_.starts_of(piece_.sample);
    for (std::int64_t member = 0; member < call_.group; ++member)
      for (std::int64_t i = piece_.queries.begin; i < piece_.queries.end; i += kQueryRows)
        query_block(piece_.kv_head * call_.group + member,
                    QueryBlock(i / kQueryRows, call_.shape.seq, starts));
    if (!piece_.to_keys) return;
    store(dk_, gradients_.dk);
    store(dv_, gradients_.dv);
  }

 private:
  /// The piece's keys or values: every query block reads them.
  Rows<const C> copied_keys(const TensorView& view) {
    const auto rows =
        head_rows<const T>(view, first_row_ + piece_.keys.begin, piece_.kv_head, width_);
    return copied<C>(rows, piece_.keys.size(), width_, frame_.take<C>(piece_.keys.size() * width_));
  }

  void query_block(std::int64_t head, const QueryBlock& block) {
    const std::int64_t first = std::max(block.first_key, piece_.keys.begin);
    const std::int64_t last = std::min(block.end, piece_.keys.end);
    if (first >= last) return;
    const std::int64_t row = first_row_ + block.begin;
    const auto q_rows = head_rows<const T>(call_.q, row, head, width_);
    const auto dout_rows = head_rows<const T>(gradients_.dout, row, head, width_);
    const auto out_rows = head_rows<const T>(gradients_.out, row, head, width_);
    for (std::int64_t r = 0; r < block.rows(); ++r) {
      const T* d = dout_rows.row(r);
      const T* o = out_rows.row(r);
      delta_[r] = lane_sum<float>(width_, [&](std::int64_t c) {
        return static_cast<float>(d[c]) * static_cast<float>(o[c]);
      });
    }
    const auto q = copied<C>(q_rows, block.rows(), width_, q_copy_);
    const auto dout = copied<C>(dout_rows, block.rows(), width_, dout_copy_);
    for (std::int64_t key = first, next = 0; key < last; key = next) {
      next = block.tile_end(key);
      tile(head, block, key, next - key, q, dout);
    }
    if (!piece_.to_queries) return;
    const auto dq_rows = head_rows<T>(gradients_.dq, row, head, width_);
    for (std::int64_t r = 0; r < block.rows(); ++r) store_row(dq_.row(r), dq_rows.row(r), width_);
  }

  void tile(std::int64_t head, const QueryBlock& block, std::int64_t key, std::int64_t keys,
            Rows<const C> q, Rows<const C> dout) {
    const std::int64_t rows = block.rows();
    const TileForm to_scores{.m = rows, .n = keys, .k = width_, .transpose_b = true};
    const std::int64_t at = key - piece_.keys.begin;
    multiply<C>(to_scores, q, k_.from(at), scores_);
    multiply<C>(to_scores, dout, v_.from(at), dscores_);
    for (std::int64_t r = 0; r < rows; ++r) softmax_row(head, block, r, key, keys);
    const Rows<const C> p{probability_operand_.data, kKeyColumns};
    const Rows<const C> ds{dscore_operand_.data, kKeyColumns};
    if (piece_.to_keys) {
      const TileForm to_keys{
          .m = keys, .n = width_, .k = rows, .transpose_a = true, .accumulate = true};
      multiply<C>(to_keys, p, dout, dv_.from(at));
      multiply<C>(to_keys, ds, q, dk_.from(at));
    }
    if (piece_.to_queries)
      multiply<C>({.m = rows, .n = width_, .k = keys, .accumulate = key != block.first_key}, ds,
                  k_.from(at), dq_);
  }

  /// p = exp(scale s - lse) and ds = scale p (factor dp - delta), with zeros where masked.
  void softmax_row(std::int64_t head, const QueryBlock& block, std::int64_t r, std::int64_t key,
                   std::int64_t keys) {
    const std::int64_t i = block.begin + r;
    const Range seen = block.visible(i, key, keys);
    const float lse = call_.lse_of(piece_.sample, head)[i];
    const float delta = delta_[r];
    const float scale = call_.scale;
    float* __restrict score = scores_.row(r);
    float* __restrict dscore = dscores_.row(r);
    if (call_.options.dropout.active()) {
      float factors[kKeyColumns];
      dropout_.factors(call_.dropout_row(head, i) + key + seen.begin, seen.size(),
                       call_.options.dropout.scale(), factors);
#pragma omp simd
      for (std::int64_t j = seen.begin; j < seen.end; ++j) {
        const float p = vector_exp(scale * score[j] - lse);
        const float factor = factors[j - seen.begin];
        score[j] = p * factor;
        dscore[j] = scale * p * (factor * dscore[j] - delta);
      }
    } else {
#pragma omp simd
      for (std::int64_t j = seen.begin; j < seen.end; ++j) {
        const float p = vector_exp(scale * score[j] - lse);
        score[j] = p;
        dscore[j] = scale * p * (dscore[j] - delta);
      }
    }
    for (float* row : {score, dscore}) {
      std::fill(row, row + seen.begin, 0.0f);
      std::fill(row + seen.end, row + keys, 0.0f);
    }
    if constexpr (!std::is_same_v<C, float>) {
      store_row(score, probability_operand_.row(r), keys);
      store_row(dscore, dscore_operand_.row(r), keys);
    }
  }

  void store(Rows<float> sums, const TensorView& gradient) const {
    const auto rows =
        head_rows<T>(gradient, first_row_ + piece_.keys.begin, piece_.kv_head, width_);
    for (std::int64_t r = 0; r < piece_.keys.size(); ++r)
      store_row(sums.row(r), rows.row(r), width_);
  }

  const Call& call_;
  const Gradients& gradients_;
  const Piece& piece_;
  std::int64_t first_row_;
  std::int64_t width_;
  DropoutStream dropout_;
  ScratchFrame frame_;
  Rows<const C> k_{}, v_{};
  Rows<float> dk_{}, dv_{}, dq_{};
  Rows<float> scores_{}, dscores_{};
  Rows<C> probability_operand_{}, dscore_operand_{};
  C* q_copy_ = nullptr;
  C* dout_copy_ = nullptr;
  float delta_[kQueryRows];
};

/// Whole heads where they keep all threads busy, else parts of 256 queries or keys.
template <class T, class C>
void run_backward(const Call& call, const Gradients& gradients) {
  const AttentionShape& shape = call.shape;
  const std::int64_t heads = shape.batch * shape.kv_heads;
  const std::int64_t parts = divide_up(shape.seq, kKeyColumns);
  const auto run = [&](std::int64_t count, const auto& piece_of) {
    for_rows(
        "attn.backward", count, 1,
        [&](std::int64_t item, std::int64_t) {
          const Piece piece = piece_of(item);
          BackwardPiece<T, C>(call, gradients, piece).run();
        },
        Balance::dynamic);
  };
  const Range all{0, shape.seq};
  if (execution_threads() < 2 * heads || parts == 1) {
    run(heads, [&](std::int64_t item) {
      return Piece{item / shape.kv_heads, item % shape.kv_heads, all, all};
    });
    return;
  }
  run(2 * heads * parts, [&](std::int64_t item) {
    const std::int64_t head = item / 2 / parts;
    const std::int64_t begin = item / 2 % parts * kKeyColumns;
    const std::int64_t end = std::min(shape.seq, begin + kKeyColumns);
    Piece piece{head / shape.kv_heads, head % shape.kv_heads, {begin, end}, {0, end}};
    piece.to_keys = item % 2 == 0;
    piece.to_queries = !piece.to_keys;
    if (piece.to_keys) {  // these keys, and the queries from the first of them on
      piece.queries = {begin, shape.seq};
      piece.keys = {begin, end};
    }
    return piece;
  });
}

}  // namespace
}  // namespace attention

void attention_backward(const AttentionShape& shape, const TensorView& dq, const TensorView& dk,
                        const TensorView& dv, const TensorView& dout, const TensorView& q,
                        const TensorView& k, const TensorView& v, const TensorView& out,
                        const TensorView& lse, const AttentionOptions& options) {
  const attention::Call call(shape, q, k, v, lse, options);
  call.expect_like_queries(dq, "dq");
  call.expect_like_queries(dout, "dout");
  call.expect_like_queries(out, "out");
  call.expect_like_keys(dk, "dk");
  call.expect_like_keys(dv, "dv");
  const attention::Gradients gradients{dq, dk, dv, dout, out};
  attention::with_types(
      q.dtype, [&]<class T, class C>(T, C) { attention::run_backward<T, C>(call, gradients); });
}

}  // namespace trireme::kernels
