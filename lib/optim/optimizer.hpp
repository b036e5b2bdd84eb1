#pragma once
// What an optimizer needs for a unit (a flat buffer of parameters): its state tensors, which
// elements decay, which count in the global norm, and the update itself.

#include "kernels/base/checked.hpp"
#include "kernels/optimizer/optimizer.hpp"
#include "lib/deck/deck.hpp"
#include "lib/nn/parameter.hpp"
#include "lib/optim/step_control.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace trireme::optim {

inline constexpr std::size_t kMaxStates = 2;

/// Names of the optimizer's state tensors, as checkpoints know them (PyTorch's names). Each is f32
/// with the layout of the unit's masters and starts as zeros: 4 bytes an element each.
///   adam, adamw, lamb: exp_avg, exp_avg_sq;  lion: exp_avg;  sgd: momentum_buffer, without
///   momentum none
std::span<const std::string_view> state_names(const deck::OptimizerConfig& optimizer);

/// LAMB scales each tensor's update by its norms, so that the update has two halves with an
/// all-reduce between them; the others update element by element.
bool needs_tensor_norms(const deck::OptimizerConfig& optimizer);

/// The elements of a unit that weight decay leaves alone, in order, neighbours joined. The gap
/// behind a parameter goes with it: it holds zeros, which stay zeros.
std::vector<Range> undecayed_ranges(const nn::Unit& unit);

/// A parameter, for LAMB.
struct TensorSpan {
  Range elements;        ///< in the unit's flat buffer
  bool decays = false;   ///< weight decay applies
  bool divided = false;  ///< tensor-parallel ranks hold parts, their norms must be added up
};
/// The parameters of a unit in order of their elements.
std::vector<TensorSpan> tensor_spans(const nn::Unit& unit);

/// The elements of a unit's gradients that this rank adds to the global sum of squares, so that
/// every logical element counts once: whole copies count on the tensor group's first rank, parts
/// everywhere. Neighbours are joined. (Of a tied unit's two copies the caller leaves one out.)
std::vector<Range> norm_ranges(const nn::Unit& unit, std::int64_t tensor_index);

/// The memory of a unit, or of consecutive elements of it: all spans have their number.
struct UnitMemory {
  std::span<float> master;
  TensorView weights;  ///< bf16 or f16 [elements], rewritten from the masters; or empty
  std::span<const float> gradient;
  std::array<std::span<float>, kMaxStates> states;  ///< in the order of state_names()
  MemorySpace space = MemorySpace::host;            ///< of all of them
};

/// Updates all elements, those of `undecayed` (relative to the memory) without weight decay, with
/// one call of the kernel; not for LAMB (a bug report). Returns when done; in device memory the
/// work is the current stream's.
void update_unit(const deck::OptimizerConfig& optimizer, const StepScalars& scalars,
                 std::span<const Range> undecayed, const UnitMemory& memory);

/// LAMB's first half: moves the moments and adds the norms of spans[i] to *norms[i], which lies in
/// the unit's memory space; null: they count elsewhere. Before the second half the norms of divided
/// spans are added up over the tensor group.
void lamb_begin(const deck::OptimizerConfig& optimizer, const StepScalars& scalars,
                std::span<const TensorSpan> spans, const UnitMemory& memory,
                std::span<kernels::LambNorms* const> norms);
/// LAMB's second half: updates masters and weights.
void lamb_finish(const deck::OptimizerConfig& optimizer, const StepScalars& scalars,
                 std::span<const TensorSpan> spans, std::span<kernels::LambNorms* const> norms,
                 const UnitMemory& memory);

}  // namespace trireme::optim
