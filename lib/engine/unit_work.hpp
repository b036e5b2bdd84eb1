#pragma once
// What a compute instruction on model state does, resolved once: where the elements of a unit lie
// that it works on, whatever parts and buffers hold them.

#include "lib/optim/optimizer.hpp"
#include "lib/program/compile.hpp"
#include "lib/state/store.hpp"

#include <span>
#include <vector>

namespace trireme::engine {

class UnitWork {
 public:
  /// `instruction` is of kind clear, accumulate, norm, trust, update or round; all references
  /// outlive this.
  UnitWork(const program::Compiled& compiled, const program::Instruction& instruction,
           state::Store& store, const deck::OptimizerConfig& optimizer, DType compute,
           const comm::Coordinates& at);

  /// `scalars` of an update. A norm adds to the store's scalars, the device's where it works there.
  /// Returns when done, or with a GPU's work in the current stream; allocates nothing.
  void run(const optim::StepScalars& scalars);

 private:
  /// One run of elements, with the memory of all that belongs to them.
  struct Piece {
    Range flat;
    float* source = nullptr;  // accumulate, norm
    float* target = nullptr;  // accumulate
    optim::UnitMemory memory;
    // Relative to the piece:
    std::vector<Range> counted;              // norm
    std::vector<Range> undecayed;            // update, element by element
    std::vector<optim::TensorSpan> tensors;  // LAMB
    std::vector<kernels::LambNorms*> norms;  // LAMB: of each tensor; null: not its to add
  };

  void resolve_clear(const program::Compiled& compiled);
  void resolve_pieces(const program::Compiled& compiled, const comm::Coordinates& at);
  void resolve_memory(const program::Compiled& compiled, const state::Run& run, Piece& piece) const;
  void add_tensors(Piece& piece) const;
  bool counts(const comm::Coordinates& at) const;
  const program::Buffer* holder(const program::Compiled& compiled, program::Purpose content,
                                std::int32_t number = 0) const;
  TensorView view(const float* values, std::int64_t count) const {
    return {const_cast<float*>(values), Shape{count}, DType::f32, 0, space_};
  }
  void zero(std::span<float> values) const;
  void norm() const;
  void trust(const optim::StepScalars& scalars) const;
  void update(const optim::StepScalars& scalars) const;

  const program::Instruction& instruction_;
  state::Store& store_;
  const deck::OptimizerConfig& optimizer_;
  DType compute_;
  MemorySpace space_;  // of all that it works on
  const nn::Unit& unit_;
  bool primary_;
  // LAMB: whether the norms of tensors that other ranks hold alike count here.
  bool speaks_ = true;            // over the shard group
  bool speaks_in_tensor_ = true;  // over the tensor group, for tensors that it does not divide
  std::vector<Piece> pieces_;
  std::vector<std::span<float>> cleared_;
  std::span<kernels::LambNorms> tensor_norms_;
};

}  // namespace trireme::engine
