#pragma once
// The loss scale of fp16 runs: DeepSpeed 0.19.8's static and dynamic scalers.
//
// Dynamic (Micikevicius et al., arXiv 1710.03740 section 3.2, with DeepSpeed's hysteresis):
//   overflow:  hysteresis > 1 is spent by one; else the scale halves, not below the minimum, and an
//              overflow at the minimum ends the run
//   good step: `window` good steps since the last overflow double the scale and refill the
//              hysteresis; with consecutive_hysteresis every good step refills it
// As in DeepSpeed a window counts good steps after the first one behind an overflow (or behind the
// start, which counts as one), so that the first doubling comes with good step window + 1.

#include "lib/deck/deck.hpp"

#include <cstdint>

namespace trireme::optim {

/// Everything the scaler remembers; part of the checkpoint.
struct LossScalerState {
  double scale = 1;                 ///< the loss of the next step is multiplied by it
  std::int64_t hysteresis = 1;      ///< overflows left until the scale halves, that one included
  std::int64_t steps = 0;           ///< steps seen, skipped ones included
  std::int64_t last_overflow = -1;  ///< number of the last step that overflowed
  friend bool operator==(const LossScalerState&, const LossScalerState&) = default;
};

/// Throws Exit::kUsage, naming the key of fp16, where the settings make no scaler.
LossScalerState initial_loss_scaler(const deck::LossScaleConfig& config);

/// Notes the outcome of a step. A static scale never changes.
/// Throws Exit::kNumbers when a dynamic scale overflows at its minimum.
void update_loss_scaler(const deck::LossScaleConfig& config, bool overflow, LossScalerState& state);

}  // namespace trireme::optim
