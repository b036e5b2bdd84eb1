#include "lib/optim/loss_scaler.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::optim {
namespace {

void note_overflow(const deck::LossScaleConfig& config, LossScalerState& state) {
  if (config.hysteresis > 1 && state.hysteresis > 1) {
    --state.hysteresis;
  } else {
    check(state.scale != config.minimum, Exit::kNumbers,
          "gradients overflow at the smallest loss scale ({}), fp16.min_loss_scale: the run "
          "diverges. Try a smaller learning rate, a longer warm-up or bf16",
          config.minimum);
    state.scale = std::max(state.scale / 2, config.minimum);
  }
  state.last_overflow = state.steps;
}

void note_good_step(const deck::LossScaleConfig& config, LossScalerState& state) {
  if (config.consecutive_hysteresis) state.hysteresis = config.hysteresis;
  const std::int64_t good = state.steps - state.last_overflow - 1;
  if (good > 0 && good % config.window == 0) {
    state.hysteresis = config.hysteresis;
    state.scale *= 2;
  }
}

}  // namespace

LossScalerState initial_loss_scaler(const deck::LossScaleConfig& config) {
  check(std::isfinite(config.initial) && config.initial > 0, Exit::kUsage,
        "fp16: expected a finite loss scale above 0, found {} (loss_scale, or 2 to the power of "
        "initial_scale_power)",
        config.initial);
  if (config.dynamic) {
    check(config.window > 0, Exit::kUsage, "fp16.loss_scale_window: expected at least 1, found {}",
          config.window);
    check(std::isfinite(config.minimum) && config.minimum > 0, Exit::kUsage,
          "fp16.min_loss_scale: expected a finite number above 0, found {}", config.minimum);
    check(config.hysteresis > 0, Exit::kUsage, "fp16.hysteresis: expected at least 1, found {}",
          config.hysteresis);
  }
  return {.scale = config.initial, .hysteresis = config.hysteresis};
}

void update_loss_scaler(const deck::LossScaleConfig& config, bool overflow,
                        LossScalerState& state) {
  if (config.dynamic) {
    if (overflow)
      note_overflow(config, state);
    else
      note_good_step(config, state);
  }
  ++state.steps;
}

}  // namespace trireme::optim
