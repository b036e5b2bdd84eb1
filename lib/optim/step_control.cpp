#include "lib/optim/step_control.hpp"

#include "kernels/base/error.hpp"
#include "lib/optim/schedule.hpp"

#include <fmt/core.h>

#include <cmath>
#include <limits>

namespace trireme::optim {

StepControl::StepControl(const deck::OptimizerConfig& optimizer,
                         const deck::SchedulerConfig& scheduler,
                         const deck::PrecisionConfig& precision, double gradient_clipping,
                         std::int64_t max_skipped_steps)
    : optimizer_(optimizer),
      scheduler_(scheduler),
      precision_(precision),
      gradient_clipping_(gradient_clipping),
      max_skipped_steps_(max_skipped_steps) {
  check_schedule(scheduler);
  check(std::isfinite(gradient_clipping) && gradient_clipping >= 0, Exit::kUsage,
        "gradient_clipping: expected a norm, or 0 for none, found {}", gradient_clipping);
  state_.scaler = initial_loss_scaler(precision.loss_scale);
}

StepControl::StepControl(const deck::Deck& deck)
    : StepControl(deck.optimizer, deck.scheduler, deck.precision, deck.gradient_clipping,
                  deck.run.max_skipped_steps) {}

double StepControl::learning_rate() const {
  return schedule_at(scheduler_, optimizer_, state_.applied_steps).learning_rate;
}

StepScalars StepControl::scalars_with(double gradient_factor) const {
  const SchedulePoint point = schedule_at(scheduler_, optimizer_, state_.applied_steps);
  check(point.beta1 < 1, Exit::kUsage,
        "scheduler.params.decay_mom_rate: the momentum has grown to {} after {} updates and must "
        "stay below 1; choose a smaller rate or a larger decay_step_size",
        point.beta1, state_.applied_steps);
  return {.step = state_.applied_steps + 1,
          .learning_rate = point.learning_rate,
          .beta1 = point.beta1,
          .beta2 = point.beta2,
          .gradient_factor = gradient_factor};
}

StepDecision StepControl::decide(const GradientSummary& gradients) {
  const bool finite = !gradients.nonfinite && std::isfinite(gradients.sum_of_squares);
  return finite ? apply(gradients) : skip();
}

StepDecision StepControl::apply(const GradientSummary& gradients) {
  StepDecision decision;
  decision.apply = true;
  decision.loss_scale = loss_scale();
  decision.gradient = gradient_scale(gradients.sum_of_squares, gradients.divisor * loss_scale(),
                                     gradient_clipping_);
  decision.scalars = scalars_with(decision.gradient.factor);
  ++state_.applied_steps;
  state_.skipped_in_a_row = 0;
  update_loss_scaler(precision_.loss_scale, false, state_.scaler);
  return decision;
}

StepDecision StepControl::skip() {
  check(precision_.skip_nonfinite_gradients, Exit::kNumbers,
        "gradients are not finite (inf or NaN) after {} updates, and this deck's precision does "
        "not skip such steps (fp16 does, bf16 with check_grad_overflow does). Try a smaller "
        "learning rate or a longer warm-up",
        state_.applied_steps);
  StepDecision decision;
  decision.loss_scale = loss_scale();
  decision.gradient.norm = std::numeric_limits<double>::infinity();
  decision.gradient.clip_factor = 0;
  decision.gradient.factor = 0;
  ++state_.skipped_steps;
  ++state_.skipped_in_a_row;
  update_loss_scaler(precision_.loss_scale, true, state_.scaler);
  check(max_skipped_steps_ == 0 || state_.skipped_in_a_row < max_skipped_steps_, Exit::kNumbers,
        "{} steps running had inf or NaN gradients and were skipped, after {} updates; the loss "
        "scale is {}. The run diverges (try a smaller learning rate or a longer warm-up), or "
        "fp16.initial_scale_power starts too high (lower it, or raise run.max_skipped_steps)",
        state_.skipped_in_a_row, state_.applied_steps, loss_scale());
  decision.warning = fmt::format(
      "gradients are not finite: step skipped ({} running, {} in all), loss scale {} "
      "-> {}",
      state_.skipped_in_a_row, state_.skipped_steps, decision.loss_scale, loss_scale());
  return decision;
}

void StepControl::restore(const OptimState& state) {
  state_ = state;
  if (!precision_.loss_scale.dynamic) state_.scaler.scale = precision_.loss_scale.initial;
}

}  // namespace trireme::optim
