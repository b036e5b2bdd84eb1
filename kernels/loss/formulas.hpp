#pragma once
// What host and device kernels of the cross-entropy share. Private to kernels/loss.

#include "kernels/loss/cross_entropy.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

namespace trireme::kernels {

inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
inline constexpr float kAbsent = std::numeric_limits<float>::lowest();  // in statistics

/// Throws Exit::kFile unless no target lies outside the vocabulary.
void expect_targets(std::int64_t outside, std::int64_t vocabulary);

/// Column of the target in this shard, or -1.
constexpr std::int64_t target_column(std::int32_t target, const VocabularyShard& shard) {
  const std::int64_t column = target - shard.first_id;
  const bool mine = target != kIgnoredTarget && column >= 0 && column < shard.valid_columns;
  return mine ? column : -1;
}

/// One token's loss in nats from the statistics of all ranks, f32 [ranks, tokens, 3]: maximum, sum
/// relative to it, the target's logit or kAbsent. Leaves the token's normalizer, maximum and sum.
constexpr double combine_token(const float* statistics, std::int64_t ranks, std::int64_t tokens,
                               std::int64_t token, float* normalizer) {
  float most = kMinusInfinity;
  float wanted = kAbsent;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const float* s = statistics + (rank * tokens + token) * 3;
    if (s[0] > most) most = s[0];
    if (s[2] != kAbsent) wanted = s[2];  // at most one rank holds the target
  }
  double sum = 0;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const float* s = statistics + (rank * tokens + token) * 3;
    const double factor = s[0] == most ? 1.0 : std::exp(static_cast<double>(s[0]) - most);
    sum += s[1] * factor;
  }
  normalizer[0] = most;
  normalizer[1] = static_cast<float>(sum);
  return std::log(sum) + most - wanted;
}

}  // namespace trireme::kernels
