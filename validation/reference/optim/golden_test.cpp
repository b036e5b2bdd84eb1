// Schedules and loss scaler against trajectories that DeepSpeed 0.19.8's own classes made; the text
// files beside this one name their command and tolerance.

#include "validation/reference/optim/golden.hpp"
#include "kernels/base/error.hpp"
#include "lib/optim/loss_scaler.hpp"
#include "lib/optim/schedule.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace trireme::optim {
namespace {

constexpr double kTolerance = 1e-12;  // relative: last bits of log and cos may differ

deck::OptimizerConfig optimizer_of(const nlohmann::json& head) {
  deck::OptimizerConfig optimizer;
  optimizer.lr = kOptimizerLr;
  if (head.at("optimizer") == "SGD") {
    optimizer.type = deck::OptimizerType::sgd;
    optimizer.beta1 = optimizer.beta2 = 0;  // what the files hold for an optimizer without betas
  }
  return optimizer;
}

double relative_error(double found, double expected) {
  if (found == expected) return 0;
  return std::abs(found - expected) / std::max(std::abs(found), std::abs(expected));
}

using Trajectory = std::function<SchedulePoint(const deck::SchedulerConfig&,
                                               const deck::OptimizerConfig&, std::int64_t)>;

/// Largest relative error over all points of a file, and how many points there were.
struct Comparison {
  double error = 0;
  std::int64_t points = 0;
};
Comparison compare(const std::string& file, const Trajectory& trajectory) {
  Comparison result;
  for (const Case& one : read_cases(file)) {
    const auto optimizer = optimizer_of(one.head);
    const auto scheduler = scheduler_of(one.head.at("type"), one.head.at("params"), optimizer);
    check_schedule(scheduler);
    for (const std::string& line : one.lines) {
      std::istringstream text(line);
      std::int64_t step = -1;
      SchedulePoint expected;
      text >> step >> expected.learning_rate >> expected.beta1 >> expected.beta2;
      EXPECT_FALSE(text.fail()) << line;
      const SchedulePoint found = trajectory(scheduler, optimizer, step);
      for (const auto member :
           {&SchedulePoint::learning_rate, &SchedulePoint::beta1, &SchedulePoint::beta2})
        result.error = std::max(result.error, relative_error(found.*member, expected.*member));
      ++result.points;
    }
  }
  return result;
}

struct File {
  const char* name;
  std::int64_t least_points;
};
constexpr File kFiles[] = {{"lr_range_test.txt", 60},
                           {"one_cycle.txt", 150},
                           {"warmup_lr.txt", 45},
                           {"warmup_decay_lr.txt", 85},
                           {"warmup_cosine_lr.txt", 85}};

TEST(ScheduleAgainstDeepSpeed, EveryPointAgrees) {
  for (const File& file : kFiles) {
    const Comparison result = compare(file.name, schedule_at);
    EXPECT_LE(result.error, kTolerance) << file.name;
    EXPECT_GE(result.points, file.least_points) << file.name;
  }
}

TEST(ScheduleAgainstDeepSpeed, PlantedFaultOneStepLateIsSeenInEveryFile) {
  const Trajectory late = [](const auto& scheduler, const auto& optimizer, std::int64_t step) {
    return schedule_at(scheduler, optimizer, step + 1);
  };
  for (const File& file : kFiles) EXPECT_GT(compare(file.name, late).error, 1e-6) << file.name;
}

TEST(ScheduleAgainstDeepSpeed, PlantedFaultFrozenMomentumIsSeen) {
  const Trajectory frozen = [](auto scheduler, const auto& optimizer, std::int64_t step) {
    scheduler.cycle_momentum = false;
    return schedule_at(scheduler, optimizer, step);
  };
  EXPECT_GT(compare("one_cycle.txt", frozen).error, 1e-3);
}

/// True when every state of every pattern agrees exactly.
bool scalers_agree(const std::function<void(deck::LossScaleConfig&)>& plant = {}) {
  bool agree = true;
  std::int64_t lines = 0;
  std::int64_t aborts = 0;
  for (const Case& one : read_cases("loss_scaler.txt")) {
    deck::LossScaleConfig config;
    config.dynamic = true;
    one.head.at("init_scale").get_to(config.initial);
    one.head.at("scale_window").get_to(config.window);
    one.head.at("min_scale").get_to(config.minimum);
    one.head.at("delayed_shift").get_to(config.hysteresis);
    one.head.at("consecutive_hysteresis").get_to(config.consecutive_hysteresis);
    if (plant) plant(config);
    LossScalerState state = initial_loss_scaler(config);
    for (const std::string& line : one.lines) {
      ++lines;
      std::istringstream text(line);
      bool overflow = false;
      std::string outcome;
      text >> overflow >> outcome;
      const bool abort_expected = outcome == "abort";
      aborts += abort_expected;
      bool aborted = false;
      try {
        update_loss_scaler(config, overflow, state);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), Exit::kNumbers);
        aborted = true;
      }
      agree = agree && aborted == abort_expected;
      if (aborted || abort_expected) break;
      std::int64_t hysteresis = -1;
      std::int64_t last_overflow = -2;
      text >> hysteresis >> last_overflow;
      agree = agree && state.scale == std::stod(outcome) && state.hysteresis == hysteresis &&
              state.last_overflow == last_overflow;
    }
  }
  EXPECT_GE(lines, 500);
  EXPECT_GE(aborts, 4);
  return agree;
}

TEST(LossScalerAgainstDeepSpeed, EveryStateAgrees) { EXPECT_TRUE(scalers_agree()); }

TEST(LossScalerAgainstDeepSpeed, PlantedFaultsAreSeen) {
  EXPECT_FALSE(scalers_agree([](auto& config) { config.window += 1; }));
  EXPECT_FALSE(scalers_agree([](auto& config) { config.hysteresis += 1; }));
  EXPECT_FALSE(scalers_agree([](auto& config) { config.minimum /= 2; }));
  EXPECT_FALSE(scalers_agree(
      [](auto& config) { config.consecutive_hysteresis = !config.consecutive_hysteresis; }));
}

}  // namespace
}  // namespace trireme::optim
