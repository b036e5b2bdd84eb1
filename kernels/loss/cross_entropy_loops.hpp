#pragma once
// The loops of cross-entropy over logits in fp32, for one instruction set each. Private to
// kernels/loss.

#include <cstdint>

namespace trireme::kernels {

struct CrossEntropyLoops {
  /// Largest x[i], passing over NaN.
  float (*largest)(const float* x, std::int64_t count);
  /// Sum of e^(x[i] - shift), shift >= x[i], in an order that follows from count alone.
  float (*exponentials)(const float* x, std::int64_t count, float shift);
  /// d[i] <- e^(x[i] - shift) factor. d may be x.
  void (*gradient)(const float* x, float* d, std::int64_t count, float shift, float factor);
};

// One function a file that is compiled for one instruction set.
const CrossEntropyLoops& cross_entropy_loops_avx2();
const CrossEntropyLoops& cross_entropy_loops_avx512();

}  // namespace trireme::kernels
