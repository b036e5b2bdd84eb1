// Laws of the schedules that need no reference: shape, continuity, resume.

#include "lib/optim/schedule.hpp"

#include "kernels/base/error.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

namespace trireme::optim {
namespace {

using deck::SchedulerConfig;
using deck::SchedulerType;

deck::OptimizerConfig adamw() {
  deck::OptimizerConfig optimizer;
  optimizer.lr = 2e-3;
  return optimizer;
}

SchedulerConfig warmup(SchedulerType type, deck::WarmupType shape) {
  SchedulerConfig s;
  s.type = type;
  s.warmup_type = shape;
  s.warmup_min_lr = 1e-5;
  s.warmup_max_lr = 2e-3;
  s.warmup_num_steps = 40;
  s.total_num_steps = 200;
  return s;
}

SchedulerConfig one_cycle() {
  SchedulerConfig s;
  s.type = SchedulerType::one_cycle;
  s.cycle_min_lr = 1e-4;
  s.cycle_max_lr = 2e-3;
  s.cycle_first_step_size = 30;
  s.cycle_second_step_size = 50;
  s.decay_step_size = 10;
  s.decay_lr_rate = 0.5;
  return s;
}

std::vector<SchedulerConfig> all_schedules() {
  std::vector<SchedulerConfig> all{SchedulerConfig{}, one_cycle()};
  all.emplace_back().type = SchedulerType::lr_range_test;
  for (const auto type :
       {SchedulerType::warmup, SchedulerType::warmup_decay, SchedulerType::warmup_cosine})
    for (const auto shape : {deck::WarmupType::log, deck::WarmupType::linear})
      all.push_back(warmup(type, shape));
  return all;
}

using Rate = std::function<double(const SchedulerConfig&, std::int64_t)>;
double rate(const SchedulerConfig& s, std::int64_t n) {
  return schedule_at(s, adamw(), n).learning_rate;
}

bool rises(const Rate& f, const SchedulerConfig& s, std::int64_t from, std::int64_t to) {
  for (std::int64_t n = from; n < to; ++n)
    if (f(s, n + 1) < f(s, n)) return false;
  return true;
}
bool falls(const Rate& f, const SchedulerConfig& s, std::int64_t from, std::int64_t to) {
  return rises([&](const auto& c, std::int64_t n) { return -f(c, n); }, s, from, to);
}
double largest_jump(const Rate& f, const SchedulerConfig& s, std::int64_t from, std::int64_t to) {
  double jump = 0;
  for (std::int64_t n = from; n < to; ++n) jump = std::max(jump, std::abs(f(s, n + 1) - f(s, n)));
  return jump;
}

TEST(Schedule, ConstantIsTheOptimizersRate) {
  for (const std::int64_t n : {0, 1, 1000}) EXPECT_EQ(rate({}, n), 2e-3);
}

TEST(Schedule, WarmUpRisesToTheTopAndDecayFallsFromThere) {
  for (const SchedulerConfig& s : all_schedules()) {
    if (s.type < SchedulerType::warmup) continue;
    // Update 41 is the first behind the warm-up: batch index 40 = warmup_num_steps.
    EXPECT_TRUE(rises(rate, s, 0, 40));
    EXPECT_TRUE(falls(rate, s, 41, 260));
    EXPECT_GT(rate(s, 41), 0.999 * 2e-3);
    EXPECT_LE(rate(s, 41), 2e-3);
  }
}

TEST(Schedule, PlantedFaultsBreakTheLawOfTheWarmUp) {
  const SchedulerConfig s = warmup(SchedulerType::warmup_decay, deck::WarmupType::linear);
  const Rate decays_at_once = [](const auto& c, std::int64_t n) {
    return rate(c, n) / (1.0 + static_cast<double>(n));
  };
  EXPECT_FALSE(rises(decays_at_once, warmup(SchedulerType::warmup, deck::WarmupType::log), 0, 40));
  const Rate restarts = [](const auto& c, std::int64_t n) { return rate(c, n % 100); };
  EXPECT_FALSE(falls(restarts, s, 41, 260));
}

TEST(Schedule, EndsAreReached) {
  const auto linear = deck::WarmupType::linear;
  EXPECT_EQ(rate(warmup(SchedulerType::warmup, linear), 5000), 2e-3);
  EXPECT_EQ(rate(warmup(SchedulerType::warmup_decay, linear), 5000), 1e-5);
  EXPECT_NEAR(rate(warmup(SchedulerType::warmup_cosine, linear), 5000), 2e-3 * 1e-4, 1e-18);
  EXPECT_NEAR(rate(one_cycle(), 30), 2e-3, 1e-15);
  EXPECT_NEAR(rate(one_cycle(), 80), 1e-4, 1e-15);
  EXPECT_LT(rate(one_cycle(), 5000), 1e-6);
}

TEST(Schedule, NoJumpsWhereNoStairsAreAskedFor) {
  for (const SchedulerConfig& s : all_schedules()) {
    const bool log = s.warmup_type == deck::WarmupType::log;  // ln 2 / ln 40 of the way in a step
    EXPECT_LE(largest_jump(rate, s, 0, 400), (log ? 0.19 : 0.04) * 2e-3);
  }
  SchedulerConfig stairs = one_cycle();
  stairs.cycle_first_stair_count = 3;
  EXPECT_GT(largest_jump(rate, stairs, 0, 29), 0.3 * 2e-3) << "a stair is a jump";
}

TEST(Schedule, MomentumMirrorsTheRateInTheCycle) {
  const SchedulerConfig s = one_cycle();
  for (std::int64_t n = 1; n <= 80; ++n) {
    const SchedulePoint p = schedule_at(s, adamw(), n);
    const double height = (p.learning_rate - 1e-4) / (2e-3 - 1e-4);
    EXPECT_NEAR(p.beta1, 0.9 - 0.1 * height, 1e-13);
    EXPECT_EQ(p.beta2, 0.99);
  }
  EXPECT_EQ(schedule_at(s, adamw(), 0).beta1, 0.8) << "set by DeepSpeed's constructor";
}

TEST(Schedule, MomentumStaysWhereItIsNotCycled) {
  deck::OptimizerConfig sgd = adamw();
  sgd.type = deck::OptimizerType::sgd;
  EXPECT_FALSE(cycles_momentum(one_cycle(), sgd));
  EXPECT_EQ(schedule_warnings(one_cycle(), sgd).size(), 1u);
  EXPECT_TRUE(schedule_warnings(one_cycle(), adamw()).empty());
  SchedulerConfig fixed = one_cycle();
  fixed.cycle_momentum = false;
  EXPECT_EQ(schedule_at(fixed, adamw(), 20).beta1, 0.9);
  EXPECT_EQ(schedule_at(fixed, adamw(), 20).beta2, 0.999);
}

TEST(Schedule, UnusableValuesAreNamed) {
  const auto refuses = [](auto change, SchedulerConfig s, const char* key) {
    change(s);
    try {
      check_schedule(s);
    } catch (const Error& error) {
      return error.code() == Exit::kUsage && error.text().find(key) != std::string::npos;
    }
    return false;
  };
  const auto cosine = warmup(SchedulerType::warmup_cosine, deck::WarmupType::log);
  EXPECT_TRUE(refuses([](auto& s) { s.warmup_num_steps = 0; }, cosine, "warmup_num_steps"));
  EXPECT_TRUE(refuses([](auto& s) { s.total_num_steps = 0; }, cosine, "total_num_steps"));
  EXPECT_TRUE(
      refuses([](auto& s) { s.cycle_first_step_size = 0; }, one_cycle(), "cycle_first_step_size"));
  EXPECT_FALSE(refuses([](auto&) {}, cosine, "warmup")) << "a sound schedule passes";
  SchedulerConfig shorter = cosine;
  shorter.total_num_steps = 20;
  EXPECT_EQ(schedule_warnings(shorter, adamw()).size(), 1u);
}

}  // namespace
}  // namespace trireme::optim
