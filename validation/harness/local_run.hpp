#pragma once
// Runs a model's plans on plain vectors, in one process, for all ranks of a tensor group: each
// segment on rank after rank, collectives as loops over the ranks that add in rank order. What the
// engine must agree with, and where the laws of the models are tested.

#include "lib/models/model.hpp"
#include "lib/optim/step_control.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace trireme::validation {

/// One micro-batch.
struct LocalBatch {
  std::vector<std::int32_t> tokens;     ///< [2, tokens]: inputs, then targets (-1: not counted)
  std::vector<std::int32_t> documents;  ///< [tokens], or empty where the plan reads none
};

struct LocalOptions {
  bool backward = true;
  /// Throw away what forward kept and run a block's forward again before its backward.
  bool recompute = false;
  /// Faults: collectives for which this is true do not happen.
  std::function<bool(const models::Block&, bool backward, const nn::Step&)> drops;
  /// Fault: gradients that are partial sums over the tensor group stay so.
  bool drop_tail_sum = false;
  /// Fault: later micro-batches overwrite gradients instead of adding to them.
  bool drop_accumulation = false;
};

/// A logical tensor of the model, whole.
struct LocalTensor {
  std::string name;
  int unit = 0;
  int index = 0;
  Shape shape;
};

class LocalRun {
 public:
  /// The model must outlive it.
  explicit LocalRun(const models::Model& model);
  ~LocalRun();
  LocalRun(LocalRun&&) noexcept;

  /// Every logical tensor, in the order of units.
  const std::vector<LocalTensor>& tensors() const;
  void initialise(std::uint64_t seed);
  /// Masters, cut into the ranks' shards; weights are rounded from them.
  void set(const LocalTensor& tensor, const std::vector<double>& whole);
  std::vector<double> get(const LocalTensor& tensor) const;
  /// Gradient of the last run. Replicas of the tensor ranks must agree to the bit (Error
  /// otherwise).
  std::vector<double> gradient(const LocalTensor& tensor) const;

  /// One step over these micro-batches: the loss, summed over tokens. Samples count from 0.
  /// Buffers start as NaN, and a body that touches what its step does not declare is an Error.
  double run(const std::vector<LocalBatch>& batches, const nn::StepScalars& scalars,
             const LocalOptions& options = {});
  /// Of the last run's gradients, each logical element once.
  double sum_of_squares() const;
  /// One update from the last run's gradients, with moments that start as zeros.
  void update(const deck::OptimizerConfig& optimizer, const optim::StepScalars& scalars);
  /// [tokens, vocabulary] of the last micro-batch; of a run with `training` off.
  std::vector<double> logits() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Micro-batches of pseudo-random tokens, some of them ignored targets; documents of a few tokens
/// each when asked for.
std::vector<LocalBatch> local_batches(const nn::Placement& placement, std::int64_t vocabulary,
                                      int count, std::uint64_t seed);

}  // namespace trireme::validation
