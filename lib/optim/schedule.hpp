#pragma once
// Learning-rate schedules: DeepSpeed 0.19.8's five and the constant one, as pure functions of the
// deck and of how many updates the run has applied. There is no other schedule state: resuming
// needs that one number, and a skipped step, which applies nothing, does not advance the schedule.
//
// Numbering. Update n = 0, 1, ... is made with schedule_at(..., n). DeepSpeed calls its scheduler
// once when it is built and once after each applied update, so that update n >= 1 uses the formula
// at batch index i = n - 1 and update 0 uses what the constructor sets: the warm-up schedules make
// their first two updates with the minimum. Trireme keeps this, off-by-one included.
//
//   LRRangeTest     Smith 2018 (arXiv 1803.09820): min (1 + rate f((i + 1) / size)),
//                   f = floor with a staircase, else identity
//   OneCycle        ibid.: min -> max -> min over first + second steps, optionally in stairs, then
//                   min / (1 + decay t / decay_step_size); beta1 mirrors the rate between
//                   cycle_max_mom and cycle_min_mom, beta2 is 0.99; afterwards beta1 is
//                   cycle_max_mom (1 + decay_mom_rate t / decay_step_size). Update 0 uses
//                   cycle_min_mom, as DeepSpeed's constructor does.
//   WarmupLR        min + (max - min) g, g = ln(i + 1) / ln W or i / W while i < W, then 1
//   WarmupDecayLR   as WarmupLR, then g = max(0, (T - i) / max(1, T - W))
//   WarmupCosineLR  optimizer lr times r: r0 + (1 - r0) g while i < W, then
//                   c + (1 - c) (1 + cos(pi min(1, (i - W + 1) / max(1, T - W)))) / 2; update 0: 0
// W = max(2, warmup_num_steps), T = total_num_steps, r0 = warmup_min_ratio, c = cos_min_ratio.

#include "lib/deck/deck.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace trireme::optim {

/// What the schedule decides for one update.
struct SchedulePoint {
  double learning_rate = 0;
  double beta1 = 0;  ///< the optimizer's own unless momentum is cycled
  double beta2 = 0;
};

/// Whether OneCycle moves the betas: cycle_momentum and an optimizer that has them (not SGD).
bool cycles_momentum(const deck::SchedulerConfig& scheduler,
                     const deck::OptimizerConfig& optimizer);

/// Throws Exit::kUsage, naming the key, where a value makes no schedule (sizes below 1, a deck
/// without total_num_steps, ...). Call once at start; schedule_at relies on it.
void check_schedule(const deck::SchedulerConfig& scheduler);

/// What DeepSpeed does quietly with this schedule and a user should know; for the report.
std::vector<std::string> schedule_warnings(const deck::SchedulerConfig& scheduler,
                                           const deck::OptimizerConfig& optimizer);

/// Rate and betas of the update that follows `applied_steps` applied ones (>= 0).
SchedulePoint schedule_at(const deck::SchedulerConfig& scheduler,
                          const deck::OptimizerConfig& optimizer, std::int64_t applied_steps);

}  // namespace trireme::optim
