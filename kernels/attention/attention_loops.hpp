#pragma once
// The loops of attention over rows of scores, for one instruction set each. Private to
// kernels/attention. Rows are cut at whole vectors: `count` is a multiple of kRowGrain, and scores
// that a query does not see are minus infinity (after scaling), whose exponential is exactly 0.

#include "kernels/base/dtype.hpp"

#include <cstdint>

namespace trireme::kernels::attention {

inline constexpr std::int64_t kRowGrain = 16;

struct RowLoops {
  /// max(least, largest scale * row[j]).
  float (*largest)(const float* row, std::int64_t count, float scale, float least);
  /// row[j] <- e^(scale row[j] - shift); returns their sum, whose order follows from count alone.
  float (*exponentials)(float* row, std::int64_t count, float scale, float shift);
  /// p = e^(scale score - lse), dscore <- scale p (factor dscore - delta), score <- factor p.
  /// factors null: all 1.
  void (*gradient)(float* score, float* dscore, const float* factors, std::int64_t count,
                   float scale, float lse, float delta);
  void (*round)(const float* row, BFloat16* out, std::int64_t count);
};

/// The best this CPU and ONEDNN_MAX_CPU_ISA allow.
const RowLoops& row_loops();

// One function a file that is compiled for one instruction set.
const RowLoops& row_loops_avx2();
const RowLoops& row_loops_avx512();

}  // namespace trireme::kernels::attention
