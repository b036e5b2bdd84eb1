#pragma once
// What a segment's body sees: views resolved once, before the first step.

#include "lib/engine/executor.hpp"

namespace trireme::engine {

/// What all segments of a running program share.
struct RunState {
  const StepInput* input = nullptr;
  Place place;
};

/// What a body asked for, in all runs so far, of all that may change from step to step.
struct Asked {
  bool training = false;
  bool gradient_scale = false;
  bool random = false;  ///< changes with every step
};

class SegmentContext final : public nn::StepContext {
 public:
  SegmentContext(const models::Model& model, const program::Compiled& compiled,
                 const program::Instruction& instruction, state::Store& store, const RunState& run);

  TensorView view(nn::Slot slot) const override;
  TensorView weight(nn::ParameterId id) const override;
  TensorView gradient(nn::ParameterId id) const override;
  bool accumulate(nn::ParameterId id) const override;
  bool accumulate_loss() const override {
    return instruction_->accumulate & program::kAccumulateLoss;
  }
  bool training() const override {
    asked_.training = true;
    return run_->input->scalars.training;
  }
  double gradient_scale() const override {
    asked_.gradient_scale = true;
    return run_->input->scalars.gradient_scale;
  }
  nn::RandomPlace random_place() const override;
  std::int64_t tensor_rank() const override { return run_->place.at.tensor; }
  int layer() const override { return block_->layer; }

  const Asked& asked() const { return asked_; }

 private:
  const program::Instruction* instruction_;
  const models::Block* block_;
  const RunState* run_;
  std::int64_t micro_batch_;
  std::vector<std::pair<nn::Slot, TensorView>> views_;
  /// Where one kind of a unit's state lies while this segment runs.
  struct StateMemory {
    std::byte* body = nullptr;
    std::byte* tail = nullptr;
  };
  struct UnitMemory {
    const nn::Unit* unit = nullptr;
    StateMemory weights;
    StateMemory gradients;
  };
  const nn::PlacedParameter& placed(nn::ParameterId id) const;
  bool in_tail(nn::ParameterId id) const;
  TensorView parameter_in(const StateMemory& memory, nn::ParameterId id, DType dtype) const;

  DType compute_;
  MemorySpace space_;              // of all views
  std::vector<UnitMemory> units_;  // by position in the block
  mutable Asked asked_;            // bodies see this const
};

/// Global index of the first sample of micro-batch `micro` on data coordinate `data`.
inline std::int64_t first_sample_of(const StepInput& input, std::int64_t data, std::int64_t micro,
                                    std::int64_t micro_batch) {
  return input.first_sample + data * input.samples_per_replica + micro * micro_batch;
}

}  // namespace trireme::engine
