#include "kernels/loss/cross_entropy.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/wide_loops.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/row_access.hpp"
#include "kernels/loss/cross_entropy_loops.hpp"
#include "kernels/loss/formulas.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::kernels {
namespace {

constexpr std::int64_t kPiece = Pieces::kWidest;

const CrossEntropyLoops& cross_entropy_loops() {
  return wide_loops() ? cross_entropy_loops_avx512() : cross_entropy_loops_avx2();
}

/// Calls f(first column, fp32 values) for the pieces of columns [0, columns) of one row.
template <class F>
void for_columns(const TensorView& logits, std::int64_t row, std::int64_t columns, const F& f) {
  alignas(64) float buffer[kPiece];
  for (std::int64_t begin = 0; begin < columns; begin += kPiece) {
    const std::int64_t count = std::min(kPiece, columns - begin);
    f(begin, count, read_row(logits, row, begin, count, buffer));
  }
}

void expect_shard(const TensorView& logits, const TensorView& targets,
                  const VocabularyShard& shard) {
  expect_floating(logits, "logits");
  expect_ids(targets, logits.rows(), "targets");
  check(shard.valid_columns >= 0 && shard.valid_columns <= logits.width(), Exit::kUnexpected,
        "{} valid columns in logits {}", shard.valid_columns, logits.shape.text());
}

struct Sums {
  double loss = 0;
  std::int64_t tokens = 0;
  std::int64_t outside = 0;  ///< targets that are no ids
  Sums& operator+=(const Sums& other) {
    loss += other.loss;
    tokens += other.tokens;
    outside += other.outside;
    return *this;
  }
};

}  // namespace

void expect_targets(std::int64_t outside, std::int64_t vocabulary) {
  check(outside == 0, Exit::kFile,
        "{} targets lie outside the vocabulary of {} ids: the token files were made with another "
        "tokenizer",
        outside, vocabulary);
}

void cross_entropy_statistics(const TensorView& logits, const TensorView& targets,
                              const VocabularyShard& shard, const TensorView& statistics) {
  expect_shard(logits, targets, shard);
  const std::int64_t tokens = logits.rows();
  const std::int64_t columns = shard.valid_columns;
  expect_floats(statistics, tokens * 3, "statistics of a cross-entropy");
  if (on_device("cross_entropy_statistics", {&logits, &targets, &statistics}))
    return device_kernels().cross_entropy_statistics(logits, targets, shard, statistics);
  const auto* target = static_cast<const std::int32_t*>(targets.data);
  auto* out = static_cast<float*>(statistics.data);
  const CrossEntropyLoops& loops = cross_entropy_loops();
  for_rows("cross_entropy", tokens, row_grain(columns), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t mine = target_column(target[row], shard);
      float most = columns == 0 ? kAbsent : kMinusInfinity;
      float wanted = kAbsent;
      for_columns(logits, row, columns, [&](std::int64_t first, std::int64_t n, const float* x) {
        most = std::max(most, loops.largest(x, n));
        if (mine >= first && mine < first + n) wanted = x[mine - first];
      });
      double sum = 0;
      // Where every logit is -inf (or NaN) any shift does; 0 avoids inf - inf.
      const float shift = most == kMinusInfinity ? 0.0f : most;
      for_columns(logits, row, columns, [&](std::int64_t, std::int64_t n, const float* x) {
        sum += loops.exponentials(x, n, shift);
      });
      out[3 * row] = most;
      out[3 * row + 1] = static_cast<float>(sum);
      out[3 * row + 2] = wanted;
    }
  });
}

LossSum cross_entropy_combine(const TensorView& statistics, const TensorView& targets,
                              std::int64_t vocabulary, const TensorView& loss,
                              const TensorView& normalizer) {
  const std::int64_t tokens = targets.elements();
  expect_ids(targets, tokens, "targets");
  const std::int64_t ranks = tokens > 0 ? statistics.elements() / (3 * tokens) : 1;
  expect_floats(statistics, ranks * tokens * 3, "statistics of a cross-entropy");
  expect_floats(normalizer, tokens * 2, "the normalizer of a cross-entropy");
  if (loss) expect_floats(loss, tokens, "losses");
  if (on_device("cross_entropy_combine", {&statistics, &targets, &loss, &normalizer}))
    return device_kernels().cross_entropy_combine(statistics, targets, vocabulary, loss,
                                                  normalizer);
  const auto* from = static_cast<const float*>(statistics.data);
  const auto* target = static_cast<const std::int32_t*>(targets.data);
  auto* norm = static_cast<float*>(normalizer.data);
  auto* losses = static_cast<float*>(loss.data);

  const auto part = [&](std::int64_t begin, std::int64_t end) {
    Sums sums;
    for (std::int64_t token = begin; token < end; ++token) {
      const double nats = combine_token(from, ranks, tokens, token, norm + 2 * token);
      const bool counted = target[token] != kIgnoredTarget;
      if (counted && (target[token] < 0 || target[token] >= vocabulary)) ++sums.outside;
      if (losses) losses[token] = counted ? static_cast<float>(nats) : 0.0f;
      if (counted) sums += Sums{nats, 1, 0};
    }
    return sums;
  };
  const Sums sums = sum_chunks<Sums>("cross_entropy_combine", tokens, 256, part);
  expect_targets(sums.outside, vocabulary);
  return {sums.loss, sums.tokens};
}

void cross_entropy_total(const TensorView& statistics, const TensorView& targets,
                         std::int64_t vocabulary, const TensorView& normalizer,
                         const TensorView& total, bool accumulate) {
  check(total.dtype == DType::f64 && total.elements() == 1, Exit::kUnexpected,
        "expected the total of a cross-entropy as one f64, found {} {}", name_of(total.dtype),
        total.shape.text());
  if (on_device("cross_entropy_total", {&statistics, &targets, &normalizer, &total}))
    return device_kernels().cross_entropy_total(statistics, targets, vocabulary, normalizer, total,
                                                accumulate);
  auto& sum = *total.as<double>();
  sum = (accumulate ? sum : 0.0) +
        cross_entropy_combine(statistics, targets, vocabulary, {}, normalizer).loss;
}

void cross_entropy_gradient(const TensorView& logits, const TensorView& targets,
                            const VocabularyShard& shard, const TensorView& normalizer,
                            float scale) {
  expect_shard(logits, targets, shard);
  expect_floats(normalizer, logits.rows() * 2, "the normalizer of a cross-entropy");
  if (on_device("cross_entropy_gradient", {&logits, &targets, &normalizer}))
    return device_kernels().cross_entropy_gradient(logits, targets, shard, normalizer, scale);
  const auto* target = static_cast<const std::int32_t*>(targets.data);
  const auto* norm = static_cast<const float*>(normalizer.data);
  const std::int64_t width = logits.width();
  const CrossEntropyLoops& loops = cross_entropy_loops();
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float buffer[kPiece];
    for (std::int64_t row = begin; row < end; ++row) {
      const bool counted = target[row] != kIgnoredTarget;
      const std::int64_t mine = target_column(target[row], shard);
      const float most = norm[2 * row];
      const float factor = scale / norm[2 * row + 1];
      const std::int64_t valid = counted ? shard.valid_columns : 0;
      for (std::int64_t first = 0; first < width; first += kPiece) {
        const std::int64_t count = std::min(kPiece, width - first);
        const std::int64_t live = std::clamp(valid - first, std::int64_t{0}, count);
        const float* x = read_row(logits, row, first, count, buffer);
        float* d = row_target(logits, row, first, buffer);
        loops.gradient(x, d, live, most, factor);
        std::fill(d + live, d + count, 0.0f);
        if (mine >= first && mine < first + live) d[mine - first] -= scale;
        finish_row(logits, row, first, count, buffer);
      }
    }
  };
  for_rows("cross_entropy_gradient", logits.rows(), row_grain(width), run);
}

}  // namespace trireme::kernels
