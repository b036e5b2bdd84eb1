#pragma once
// Cross-entropy over a vocabulary that is split by columns over tensor ranks: logits are never
// gathered, three numbers a token and rank are (Shoeybi et al., arXiv 1909.08053, section 3).
//
//   statistics on each rank -> all-gather f32 [ranks, tokens, 3] -> combine on each -> gradient
//
// Every function works row by row, so a caller may make logits in blocks of rows and never hold
// all of them. Host memory; logits f32, bf16 or f16 with optional row stride; arithmetic fp32, sums
// of tokens fp64. Calls return when the work is done; the bits do not depend on the number of
// threads. A shape or dtype that does not fit is a bug report.

#include "kernels/base/tensor_view.hpp"

#include <cstdint>

namespace trireme::kernels {

/// Target of a token that counts for nothing: no loss, zero gradient.
inline constexpr std::int32_t kIgnoredTarget = -1;

/// The columns of logits [tokens, vshard] are the ids first_id, first_id + 1, ... Columns from
/// valid_columns on are padding: they take no part in the sums and their gradient is zero.
struct VocabularyShard {
  std::int64_t first_id = 0;
  std::int64_t valid_columns = 0;
};

/// statistics f32 [tokens, 3] <- {m = max x, sum exp(x - m), x[target] or the lowest float when the
/// target is ignored or another rank's} over the valid columns; a shard of padding alone gives
/// {lowest, 0, lowest}. Finite wherever the logits are, so that a search for NaN and infinity finds
/// what went wrong alone. targets i32 [tokens]: global ids or kIgnoredTarget.
void cross_entropy_statistics(const TensorView& logits, const TensorView& targets,
                              const VocabularyShard& shard, const TensorView& statistics);

struct LossSum {
  double loss = 0;          ///< sum over counted tokens of -log p(target), nats
  std::int64_t tokens = 0;  ///< counted tokens: the target is not ignored
};

/// statistics f32 [ranks, tokens, 3], in rank order. Writes loss f32 [tokens] (0 for ignored
/// targets; may be empty) and normalizer f32 [tokens, 2] {max, sum exp(x - max)} over the whole
/// vocabulary, which the gradient needs. A target that is neither ignored nor in [0, vocabulary) is
/// an error (Exit::kFile). NaN or +inf logits give a NaN loss, a target's logit -inf a loss of inf.
LossSum cross_entropy_combine(const TensorView& statistics, const TensorView& targets,
                              std::int64_t vocabulary, const TensorView& loss,
                              const TensorView& normalizer);

/// Device memory that this, and cross_entropy_total(), work in, bytes; on the host none.
constexpr std::int64_t cross_entropy_workspace(std::int64_t tokens) {
  constexpr std::int64_t kTokens = 256;  // of one partial sum
  constexpr std::int64_t kSums = 24;     // bytes of one
  return (tokens + kTokens - 1) / kTokens * kSums;
}

/// The same into a running sum in the memory space of the rest: total f64 [1] <- loss, added to
/// what is there when `accumulate`. In device memory nothing is waited for, and a target outside of
/// the vocabulary makes the total NaN.
void cross_entropy_total(const TensorView& statistics, const TensorView& targets,
                         std::int64_t vocabulary, const TensorView& normalizer,
                         const TensorView& total, bool accumulate);

/// In place: logits <- (softmax(logits) - onehot(target)) * scale, zero for ignored targets and
/// padding. `scale` holds the loss scale and 1 / (tokens of the global batch).
void cross_entropy_gradient(const TensorView& logits, const TensorView& targets,
                            const VocabularyShard& shard, const TensorView& normalizer,
                            float scale);

}  // namespace trireme::kernels
