#pragma once
// The decision of every step: apply or skip, with which scalars. Pure host arithmetic on numbers
// all ranks agree on (DESIGN section 7, rule 7), so that every rank decides alike without talking.

#include "lib/deck/deck.hpp"
#include "lib/optim/gradient_scale.hpp"
#include "lib/optim/optim_state.hpp"

#include <cstdint>
#include <string>

namespace trireme::optim {

/// What the world all-reduce found in the stored gradients.
struct GradientSummary {
  double sum_of_squares = 0;  ///< over all parameters once; may be inf or NaN
  bool nonfinite = false;     ///< an element is inf or NaN
  double divisor = 1;         ///< stored = divisor * loss scale * true gradient
};

/// The scalars an update needs; constant over all blocks of a step.
struct StepScalars {
  std::int64_t step = 0;  ///< number of this update, from 1: Adam's t
  double learning_rate = 0;
  double beta1 = 0;
  double beta2 = 0;
  double gradient_factor = 1;  ///< stored gradient times this, see GradientScale
};

struct StepDecision {
  bool apply = false;
  StepScalars scalars;     ///< meaningful when apply
  GradientScale gradient;  ///< for the log; norm is infinite when skipped
  double loss_scale = 1;   ///< under which this step was computed
  std::string warning;     ///< why the step was skipped; empty when applied
};

/// Owns the optimizer's host state. One object a rank, all equal.
///
///   loss gradient is seeded with control.loss_scale()
///   const StepDecision now = control.decide({sum_of_squares, nonfinite, divisor});
///   if (now.apply) update every block with now.scalars
class StepControl {
 public:
  /// Throws Exit::kUsage where the deck's schedule or scaler can't be.
  StepControl(const deck::OptimizerConfig& optimizer, const deck::SchedulerConfig& scheduler,
              const deck::PrecisionConfig& precision, double gradient_clipping,
              std::int64_t max_skipped_steps);
  explicit StepControl(const deck::Deck& deck);

  /// Scale of the next step's loss; 1 unless fp16.
  double loss_scale() const { return state_.scaler.scale; }
  /// Learning rate of the next update.
  double learning_rate() const;

  /// Scalars of the coming update where it does not wait for decide(): gradients are neither
  /// clipped nor scaled nor skipped. decide() then gives the same. Throws like decide().
  StepScalars ahead() const { return scalars_with(1); }

  /// Counts the step as applied or skipped and moves the loss scale.
  /// A step with inf or NaN gradients is skipped where precision.skip_nonfinite_gradients says so
  /// (fp16; bf16 with check_grad_overflow). Throws Exit::kNumbers
  ///   - on non-finite gradients where the deck does not let them be skipped,
  ///   - on an overflow at the smallest dynamic loss scale,
  ///   - when max_skipped_steps steps running were skipped (0 = no limit),
  /// and Exit::kUsage when a cycled momentum has reached 1 (decay_mom_rate makes it grow).
  StepDecision decide(const GradientSummary& gradients);

  const OptimState& state() const { return state_; }
  /// Continues from a checkpoint. A static loss scale of the deck wins over the stored one.
  void restore(const OptimState& state);

 private:
  StepScalars scalars_with(double gradient_factor) const;
  StepDecision skip();
  StepDecision apply(const GradientSummary& gradients);

  deck::OptimizerConfig optimizer_;
  deck::SchedulerConfig scheduler_;
  deck::PrecisionConfig precision_;
  double gradient_clipping_;
  std::int64_t max_skipped_steps_;
  OptimState state_;
};

}  // namespace trireme::optim
