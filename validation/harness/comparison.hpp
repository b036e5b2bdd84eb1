#pragma once
// Equality of two runs of one model that may differ in the order of summation only.

#include "validation/harness/local_run.hpp"

#include <string>
#include <vector>

namespace trireme::validation {

/// Loss and every gradient of a step, whole logical tensors.
struct StepOutcome {
  double loss = 0;
  std::vector<LocalTensor> tensors;
  std::vector<std::vector<double>> gradients;
};

StepOutcome outcome(LocalRun& run, const std::vector<LocalBatch>& batches,
                    const nn::StepScalars& scalars, const LocalOptions& options = {});

/// For bound(), from a tensor's name: 0 for the embedding, 1 ... for "layers.0" ..., layers + 1 for
/// the head.
int layer_of(const std::string& name, int layers);

struct Deviation {
  double over_bound = 0;  ///< largest error / bound(dtype, ...) of all tensors and the loss
  std::string name;       ///< where
};

/// Largest relative Frobenius error, in units of what bound() allows for it. Tensors are matched by
/// position and must agree in name. Infinite where a number is not finite or a size differs.
Deviation compare(const StepOutcome& got, const StepOutcome& want, DType dtype, int layers);

}  // namespace trireme::validation
