#include "kernels/attention/attention_call.hpp"
#include "kernels/attention/attention_loops.hpp"
#include "kernels/attention/attention_tile.hpp"
#include "kernels/base/parallel.hpp"
#include "kernels/base/vector_math.hpp"
#include "kernels/device_kernels.hpp"

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
/// in a fixed order, in fp32, and rounded once. T is the storage type, C the type products run in.
template <class T, class C>
class BackwardPiece {
 public:
  BackwardPiece(const Call& call, const Gradients& gradients, const Piece& piece)
      : call_(call),
        gradients_(gradients),
        piece_(piece),
        strip_(*strip_kernels(dtype_of<C>)),
        products_(strip_),
        first_row_(piece.sample * call.shape.seq),
        width_(call.shape.head_dim),
        width_units_(units_of(width_, strip_.pair)),
        dropout_(call.options.dropout, piece.sample) {
    const std::int64_t keys = piece.keys.size();
    copy_ = frame_.take<C>(std::is_same_v<C, T> ? 0 : std::max(keys, kQueryRows) * width_);
    pack_keys();
    dk_ = {frame_.take<float>(keys * width_), width_};
    dv_ = {frame_.take<float>(keys * width_), width_};
    dq_ = {frame_.take<float>(kQueryRows * width_), width_};
    q_rows_ = LeftRows::take(frame_, kQueryRows, width_units_);
    dout_rows_ = LeftRows::take(frame_, kQueryRows, width_units_);
    q_panels_ = RightPanels::take(frame_, strip_, kQueryRows, width_);
    dout_panels_ = RightPanels::take(frame_, strip_, kQueryRows, width_);
    p_ = Scores(frame_);
    ds_ = Scores(frame_);
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
  /// A tile of scores or of their gradients: sums in fp32, and what products read of it. In fp32
  /// these are the same; bf16 is rounded by rows, and its pairs of rows joined for products over
  /// rows.
  struct Scores {
    Rows<float> sums{};
    LeftRows by_rows{};
    std::uint32_t* by_columns = nullptr;

    Scores() = default;
    explicit Scores(ScratchFrame& frame)
        : sums{frame.take<float>(kQueryRows * kStripStride), kStripStride},
          by_rows{reinterpret_cast<std::uint32_t*>(sums.data), kQueryRows},
          by_columns(by_rows.data) {
      if constexpr (!std::is_same_v<C, float>) {
        by_rows = LeftRows::take(frame, kQueryRows, kStripDepth);
        by_columns = frame.take<std::uint32_t>(kQueryRows / 2 * kStripStride);
      }
    }

    void round_row(const RowLoops& loops, std::int64_t r, std::int64_t keys) const {
      if constexpr (!std::is_same_v<C, float>)
        loops.round(sums.row(r), reinterpret_cast<C*>(by_rows.at(r, 0)), keys);
    }
    void join_rows(std::int64_t rows, std::int64_t keys) const {
      if constexpr (!std::is_same_v<C, float>)
        join_row_pairs(reinterpret_cast<const C*>(by_rows.data), 2 * kStripStride, rows, keys,
                       by_columns, kStripStride);
    }
  };

  Rows<const C> rows_of(const TensorView& view, std::int64_t first, std::int64_t head,
                        std::int64_t rows) const {
    return as_operand<C>(head_rows<const T>(view, first_row_ + first, head, width_), rows, width_,
                         copy_);
  }

  /// The piece's keys and values: every query block reads them.
  void pack_keys() {
    const std::int64_t keys = piece_.keys.size();
    k_across_ = RightPanels::take(frame_, strip_, width_, keys);
    v_across_ = RightPanels::take(frame_, strip_, width_, keys);
    k_along_ = RightPanels::take(frame_, strip_, keys, width_);
    const auto k = rows_of(call_.k, piece_.keys.begin, piece_.kv_head, keys);
    pack(strip_, k, keys, width_, true, k_across_);
    pack(strip_, k, keys, width_, false, k_along_);
    pack(strip_, rows_of(call_.v, piece_.keys.begin, piece_.kv_head, keys), keys, width_, true,
         v_across_);
  }

  void pack_queries(std::int64_t head, const QueryBlock& block) {
    const std::int64_t rows = block.rows();
    const auto q = rows_of(call_.q, block.begin, head, rows);
    pack(q, rows, width_, q_rows_);
    pack(strip_, q, rows, width_, false, q_panels_);
    const auto dout = rows_of(gradients_.dout, block.begin, head, rows);
    pack(dout, rows, width_, dout_rows_);
    pack(strip_, dout, rows, width_, false, dout_panels_);
    q_panels_.units = dout_panels_.units = units_of(rows, strip_.pair);
  }

  void query_block(std::int64_t head, const QueryBlock& block) {
    const std::int64_t first = std::max(block.first_key, piece_.keys.begin);
    const std::int64_t last = std::min(block.end, piece_.keys.end);
    if (first >= last) return;
    const std::int64_t row = first_row_ + block.begin;
    const auto dout_rows = head_rows<const T>(gradients_.dout, row, head, width_);
    const auto out_rows = head_rows<const T>(gradients_.out, row, head, width_);
    for (std::int64_t r = 0; r < block.rows(); ++r) {
      const T* d = dout_rows.row(r);
      const T* o = out_rows.row(r);
      delta_[r] = lane_sum<float>(width_, [&](std::int64_t c) {
        return static_cast<float>(d[c]) * static_cast<float>(o[c]);
      });
    }
    pack_queries(head, block);
    for (std::int64_t key = first, next = 0; key < last; key = next) {
      next = block.tile_end(key);
      tile(head, block, key, next - key);
    }
    if (!piece_.to_queries) return;
    const auto dq_rows = head_rows<T>(gradients_.dq, row, head, width_);
    for (std::int64_t r = 0; r < block.rows(); ++r) store_row(dq_.row(r), dq_rows.row(r), width_);
  }

  void tile(std::int64_t head, const QueryBlock& block, std::int64_t key, std::int64_t keys) {
    const std::int64_t at = key - piece_.keys.begin;
    const RightPanels k{k_across_.data + at * k_across_.units, k_across_.units};
    const RightPanels v{v_across_.data + at * v_across_.units, v_across_.units};
    const RightPanels k_along{k_along_.data + at / strip_.pair * strip_.columns, k_along_.units};
    for_strips(strip_, block.rows(), [&](const Range& strip) {
      const std::int64_t seen = block.seen_by(strip, key, keys);
      const Range columns{0, round_up(seen, strip_.columns)};
      products_.by_rows(strip, q_rows_, k, {0, width_units_}, columns, p_.sums, false);
      products_.by_rows(strip, dout_rows_, v, {0, width_units_}, columns, ds_.sums, false);
      for (std::int64_t r = strip.begin; r < strip.end; ++r) softmax_row(head, block, r, key, keys);
      if (piece_.to_queries)
        products_.by_rows(strip, ds_.by_rows, k_along, {0, units_of(seen, strip_.pair)},
                          {0, width_}, dq_, key != block.first_key);
    });
    if (piece_.to_keys) sum_over_queries(block, key, keys);
  }

  /// dv += p^T dout and dk += ds^T q; queries before a strip's first key do not see it.
  void sum_over_queries(const QueryBlock& block, std::int64_t key, std::int64_t keys) {
    p_.join_rows(block.rows(), keys);
    ds_.join_rows(block.rows(), keys);
    const std::int64_t at = key - piece_.keys.begin;
    for_strips(strip_, keys, [&](const Range& strip) {
      const std::int64_t blind =
          std::clamp<std::int64_t>(key + strip.begin - block.begin, 0, block.rows());
      const Range units{blind / strip_.pair, units_of(block.rows(), strip_.pair)};
      products_.by_columns(strip, p_.by_columns, dout_panels_, units, width_, dv_.from(at));
      products_.by_columns(strip, ds_.by_columns, q_panels_, units, width_, dk_.from(at));
    });
  }

  /// p = exp(scale s - lse) and ds = scale p (factor dp - delta), with zeros where masked.
  void softmax_row(std::int64_t head, const QueryBlock& block, std::int64_t r, std::int64_t key,
                   std::int64_t keys) {
    const std::int64_t i = block.begin + r;
    const Range seen = block.visible(i, key, keys);
    float* score = p_.sums.row(r);
    float* dscore = ds_.sums.row(r);
    const Range whole = hide_unseen(score, seen, keys, call_.scale);
    const std::int64_t end = round_up(keys, kRowGrain);
    float factors[kKeyColumns];
    const bool drops = call_.options.dropout.active();
    if (drops) {
      std::fill(factors + whole.begin, factors + whole.end, 0.0f);
      dropout_.factors(call_.dropout_row(head, i) + key + seen.begin, seen.size(),
                       call_.options.dropout.scale(), factors + seen.begin);
    }
    loops_.gradient(score + whole.begin, dscore + whole.begin,
                    drops ? factors + whole.begin : nullptr, whole.size(), call_.scale,
                    call_.lse_of(piece_.sample, head)[i], delta_[r]);
    std::fill(dscore, dscore + whole.begin, 0.0f);
    std::fill(dscore + whole.end, dscore + end, 0.0f);
    p_.round_row(loops_, r, end);
    ds_.round_row(loops_, r, end);
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
  const StripKernels& strip_;
  const RowLoops& loops_ = row_loops();
  TileProducts products_;
  std::int64_t first_row_;
  std::int64_t width_;
  std::int64_t width_units_;
  DropoutStream dropout_;
  ScratchFrame frame_;
  C* copy_ = nullptr;
  RightPanels k_across_, v_across_, k_along_, q_panels_, dout_panels_;
  LeftRows q_rows_{}, dout_rows_{};
  Rows<float> dk_{}, dv_{}, dq_{};
  Scores p_, ds_;
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
  if (on_device("attention_backward",
                {&dq, &dk, &dv, &dout, &q, &k, &v, &out, &lse, &options.document_start}))
    return device_kernels().attention_backward(shape, dq, dk, dv, dout, q, k, v, out, lse, options);
  const attention::Gradients gradients{dq, dk, dv, dout, out};
  attention::with_types(
      q.dtype, [&]<class T, class C>(T, C) { attention::run_backward<T, C>(call, gradients); });
}

}  // namespace trireme::kernels
