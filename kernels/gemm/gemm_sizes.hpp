#pragma once
// What every dense product checks first. Private to kernels/.

#include "kernels/gemm/gemm.hpp"

namespace trireme::kernels {

struct GemmSizes {
  std::int64_t m, n, k;
};

/// Those of a call; views and options that do not fit are a bug report.
GemmSizes checked_sizes(const TensorView& c, const TensorView& a, const TensorView& b,
                        const GemmOptions& options);

}  // namespace trireme::kernels
