// The laws of the loss scale; its whole trajectory is compared with DeepSpeed's in
// validation/reference/optim.

#include "lib/optim/loss_scaler.hpp"

#include "kernels/base/error.hpp"

#include <gtest/gtest.h>

namespace trireme::optim {
namespace {

deck::LossScaleConfig dynamic() {
  deck::LossScaleConfig config;
  config.dynamic = true;
  config.initial = 65536;
  config.window = 4;
  config.hysteresis = 2;
  return config;
}

TEST(LossScaler, DoublesOnceAWindow) {
  const auto config = dynamic();
  auto state = initial_loss_scaler(config);
  for (int step = 0; step < 1 + 3 * 4; ++step) update_loss_scaler(config, false, state);
  EXPECT_EQ(state.scale, 8 * 65536.0);
}

TEST(LossScaler, HysteresisTakesTheFirstOverflow) {
  const auto config = dynamic();
  auto state = initial_loss_scaler(config);
  update_loss_scaler(config, true, state);
  EXPECT_EQ(state.scale, 65536);
  update_loss_scaler(config, true, state);
  EXPECT_EQ(state.scale, 32768);
}

TEST(LossScaler, AGoodStepRefillsTheHysteresisOnlyOnRequest) {
  for (const bool refills : {false, true}) {
    auto config = dynamic();
    config.consecutive_hysteresis = refills;
    auto state = initial_loss_scaler(config);
    for (const bool overflow : {true, false, true}) update_loss_scaler(config, overflow, state);
    EXPECT_EQ(state.scale, refills ? 65536 : 32768);
  }
}

TEST(LossScaler, StaysWithinItsMinimumAndThenEndsTheRun) {
  auto config = dynamic();
  config.initial = 16;
  config.minimum = 3;
  config.hysteresis = 1;
  auto state = initial_loss_scaler(config);
  for (const double expected : {8.0, 4.0, 3.0}) {
    update_loss_scaler(config, true, state);
    EXPECT_EQ(state.scale, expected);
  }
  try {
    update_loss_scaler(config, true, state);
    FAIL() << "an overflow at the minimum must end the run";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kNumbers);
    EXPECT_NE(error.text().find("min_loss_scale"), std::string::npos);
  }
}

TEST(LossScaler, AStaticScaleNeverMoves) {
  deck::LossScaleConfig config;
  config.initial = 128;
  auto state = initial_loss_scaler(config);
  for (int step = 0; step < 3000; ++step) update_loss_scaler(config, step % 3 == 0, state);
  EXPECT_EQ(state.scale, 128);
}

TEST(LossScaler, UnusableSettingsAreRefused) {
  const auto refuses = [](auto change) {
    auto config = dynamic();
    change(config);
    try {
      initial_loss_scaler(config);
    } catch (const Error& error) {
      return error.code() == Exit::kUsage;
    }
    return false;
  };
  EXPECT_TRUE(refuses([](auto& config) { config.window = 0; }));
  EXPECT_TRUE(refuses([](auto& config) { config.minimum = 0; }));
  EXPECT_TRUE(refuses([](auto& config) { config.hysteresis = 0; }));
  EXPECT_TRUE(refuses([](auto& config) { config.initial = -1; }));
  EXPECT_FALSE(refuses([](auto&) {}));
}

}  // namespace
}  // namespace trireme::optim
