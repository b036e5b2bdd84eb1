#include "lib/optim/schedule.hpp"

#include "kernels/base/error.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace trireme::optim {
namespace {

using deck::OptimizerConfig;
using deck::SchedulerConfig;
using deck::SchedulerType;

/// beta2 of every update whose momentum is cycled; fixed in DeepSpeed.
constexpr double kCycledBeta2 = 0.99;

double range_test(const SchedulerConfig& s, std::int64_t i) {
  double interval = static_cast<double>(i + 1) / static_cast<double>(s.lr_range_test_step_size);
  if (s.lr_range_test_staircase) interval = std::floor(interval);
  return s.lr_range_test_min_lr * (1 + s.lr_range_test_step_rate * interval);
}

/// The shape of OneCycle: 0 at the ends of the cycle, 1 at its top.
class Cycle {
 public:
  explicit Cycle(const SchedulerConfig& s)
      : first_(static_cast<double>(s.cycle_first_step_size)),
        second_(static_cast<double>(s.cycle_second_step_size)),
        first_stairs_(static_cast<double>(s.cycle_first_stair_count)),
        second_stairs_(static_cast<double>(s.cycle_second_stair_count)) {}

  double total() const { return first_ + second_; }

  /// Same operations in the same order as DeepSpeed's, for equal bits.
  double height(std::int64_t i) const {
    const double batch = static_cast<double>(i + 1);
    const double top = first_ / total();
    const double x = 1.0 + batch / total() - std::floor(1 + batch / total());
    const bool rising = x <= top;
    const double stairs = rising ? first_stairs_ : second_stairs_;
    if (stairs <= 0) return rising ? x / top : (x - 1) / (top - 1);
    // Stairs are counted from the whole batch number: x may lie a rounding below a stair's edge.
    const double in_cycle = std::fmod(batch, total());
    const double position =
        in_cycle <= first_ ? in_cycle * stairs / first_ : (total() - in_cycle) * stairs / second_;
    return std::floor(position) / stairs;
  }

 private:
  double first_, second_, first_stairs_, second_stairs_;
};

/// Decay intervals since the cycle ended; 0 where the deck asks for no decay.
double decay_intervals(const SchedulerConfig& s, const Cycle& cycle, std::int64_t i, double rate) {
  if (s.decay_step_size == 0 || rate == 0) return 0;
  return (static_cast<double>(i) - cycle.total() + 1) / static_cast<double>(s.decay_step_size);
}

double cycle_rate(const SchedulerConfig& s, std::int64_t i) {
  const Cycle cycle(s);
  if (static_cast<double>(i) < cycle.total())
    return s.cycle_min_lr + (s.cycle_max_lr - s.cycle_min_lr) * cycle.height(i);
  return s.cycle_min_lr / (1 + s.decay_lr_rate * decay_intervals(s, cycle, i, s.decay_lr_rate));
}

double cycle_beta1(const SchedulerConfig& s, std::int64_t i) {
  if (i < 0) return s.cycle_min_mom;  // what DeepSpeed's constructor sets
  const Cycle cycle(s);
  if (static_cast<double>(i) < cycle.total())
    return s.cycle_max_mom - (s.cycle_max_mom - s.cycle_min_mom) * cycle.height(i);
  return s.cycle_max_mom * (1 + s.decay_mom_rate * decay_intervals(s, cycle, i, s.decay_mom_rate));
}

std::int64_t warmup_steps(const SchedulerConfig& s) {
  return std::max<std::int64_t>(2, s.warmup_num_steps);
}

/// Share of the warm-up that is done at index i < warmup_steps.
double warmup_share(const SchedulerConfig& s, std::int64_t i) {
  const auto steps = static_cast<double>(warmup_steps(s));
  if (s.warmup_type == deck::WarmupType::linear) return static_cast<double>(i) / steps;
  return 1.0 / std::log(steps) * std::log(static_cast<double>(i + 1));
}

/// Steps between warm-up and total_num_steps, as a divisor.
double steps_after_warmup(const SchedulerConfig& s) {
  return static_cast<double>(std::max<std::int64_t>(1, s.total_num_steps - warmup_steps(s)));
}

double warmup_rate(const SchedulerConfig& s, std::int64_t i) {
  if (i < 0) return s.warmup_min_lr;
  double share = 1;
  if (i < warmup_steps(s))
    share = warmup_share(s, i);
  else if (s.type == SchedulerType::warmup_decay)
    share = std::max(0.0, static_cast<double>(s.total_num_steps - i) / steps_after_warmup(s));
  return s.warmup_min_lr + (s.warmup_max_lr - s.warmup_min_lr) * share;
}

double cosine_ratio(const SchedulerConfig& s, std::int64_t i) {
  if (i < 0) return 0;
  if (i < warmup_steps(s))
    return s.warmup_min_ratio + warmup_share(s, i) * (1 - s.warmup_min_ratio);
  const double progress =
      std::min(1.0, static_cast<double>(i - warmup_steps(s) + 1) / steps_after_warmup(s));
  const double wave = (1 + std::cos(std::numbers::pi * progress)) / 2;
  return std::max(0.0, s.cos_min_ratio + (1 - s.cos_min_ratio) * wave);
}

double learning_rate(const SchedulerConfig& s, double optimizer_lr, std::int64_t i) {
  switch (s.type) {
    case SchedulerType::constant: return optimizer_lr;
    case SchedulerType::lr_range_test: return range_test(s, i);
    case SchedulerType::one_cycle: return cycle_rate(s, i);
    case SchedulerType::warmup:
    case SchedulerType::warmup_decay: return warmup_rate(s, i);
    case SchedulerType::warmup_cosine: return optimizer_lr * cosine_ratio(s, i);
  }
  fail(Exit::kUnexpected, "expected one of six schedules, found number {}",
       static_cast<int>(s.type));
}

void at_least(std::int64_t least, std::int64_t value, const char* key) {
  check(value >= least, Exit::kUsage, "scheduler.params.{}: expected at least {}, found {}", key,
        least, value);
}

bool needs_total(SchedulerType type) {
  return type == SchedulerType::warmup_decay || type == SchedulerType::warmup_cosine;
}

bool warms_up(SchedulerType type) { return type == SchedulerType::warmup || needs_total(type); }

}  // namespace

bool cycles_momentum(const SchedulerConfig& scheduler, const OptimizerConfig& optimizer) {
  return scheduler.type == SchedulerType::one_cycle && scheduler.cycle_momentum &&
         optimizer.type != deck::OptimizerType::sgd;
}

void check_schedule(const SchedulerConfig& s) {
  if (s.type == SchedulerType::lr_range_test)
    at_least(1, s.lr_range_test_step_size, "lr_range_test_step_size");
  if (s.type == SchedulerType::one_cycle) {
    at_least(1, s.cycle_first_step_size, "cycle_first_step_size");
    at_least(0, s.cycle_second_step_size, "cycle_second_step_size");
    at_least(0, s.cycle_first_stair_count, "cycle_first_stair_count");
    at_least(0, s.cycle_second_stair_count, "cycle_second_stair_count");
    at_least(0, s.decay_step_size, "decay_step_size");
  }
  if (warms_up(s.type)) at_least(1, s.warmup_num_steps, "warmup_num_steps");
  if (needs_total(s.type)) at_least(1, s.total_num_steps, "total_num_steps");
}

std::vector<std::string> schedule_warnings(const SchedulerConfig& s,
                                           const OptimizerConfig& optimizer) {
  std::vector<std::string> warnings;
  if (s.type == SchedulerType::one_cycle && s.cycle_momentum && !cycles_momentum(s, optimizer))
    warnings.emplace_back("OneCycle does not cycle the momentum of SGD, which has no betas");
  if (warms_up(s.type) && s.warmup_num_steps < 2)
    warnings.emplace_back("warmup_num_steps 1 counts as 2, as in DeepSpeed");
  if (needs_total(s.type) && s.total_num_steps < warmup_steps(s))
    warnings.push_back(
        fmt::format("total_num_steps ({}) is less than warmup_num_steps ({}): after the warm-up "
                    "the learning rate falls to its floor at once",
                    s.total_num_steps, warmup_steps(s)));
  return warnings;
}

SchedulePoint schedule_at(const SchedulerConfig& scheduler, const OptimizerConfig& optimizer,
                          std::int64_t applied_steps) {
  const std::int64_t i = applied_steps - 1;
  SchedulePoint point{learning_rate(scheduler, optimizer.lr, i), optimizer.beta1, optimizer.beta2};
  if (cycles_momentum(scheduler, optimizer)) {
    point.beta1 = cycle_beta1(scheduler, i);
    point.beta2 = kCycledBeta2;
  }
  return point;
}

}  // namespace trireme::optim
