#pragma once
// From the sum of squares of the stored gradients to the one factor that the update applies.

namespace trireme::optim {

/// Global norm, clipping and unscaling of one step.
struct GradientScale {
  double norm = 0;         ///< of the true gradient, before clipping
  double clip_factor = 1;  ///< in (0, 1]
  double factor = 1;       ///< stored gradient times this is what the update uses
};

/// The buffers hold `stored_factor` times the true gradient (loss scale times what the sum over
/// micro-batches and ranks still has to be divided by; > 0) and `sum_of_squares` of it, over all
/// parameters once. `clipping` is the largest global norm, 0 = none.
///
/// clip_factor = min(1, clipping / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ and
/// DeepSpeed's clip_grad_norm_ have it; DeepSpeed's fp16 and ZeRO optimizers write the same as
/// 1 / max(1, (norm + 1e-6) / clipping). Pascanu et al., arXiv 1211.5063 algorithm 1.
/// Needs a finite sum_of_squares >= 0.
GradientScale gradient_scale(double sum_of_squares, double stored_factor, double clipping);

}  // namespace trireme::optim
