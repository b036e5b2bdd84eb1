#pragma once
// What the optimizer's host side remembers between steps, and its text form for checkpoints.
// The moments are not here: they are tensors and live in the store.

#include "lib/optim/loss_scaler.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace trireme::optim {

struct OptimState {
  std::int64_t applied_steps = 0;     ///< updates made: what the schedule and Adam's bias count
  std::int64_t skipped_steps = 0;     ///< steps whose gradients were thrown away
  std::int64_t skipped_in_a_row = 0;  ///< of them, since the last update
  LossScalerState scaler;
  friend bool operator==(const OptimState&, const OptimState&) = default;
};

/// One JSON object; doubles survive the way there and back bit for bit.
std::string to_json(const OptimState& state);
/// Throws Exit::kFile, saying what is missing or wrong, when the text is not such an object.
OptimState optim_state_from_json(std::string_view text);

}  // namespace trireme::optim
