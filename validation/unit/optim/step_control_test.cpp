// The decision of a step: clipping, skipping, counting, and that a run may stop anywhere.

#include "lib/optim/step_control.hpp"

#include "kernels/base/error.hpp"
#include "lib/optim/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace trireme::optim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

deck::Deck fp16_deck() {
  deck::Deck deck;
  deck.optimizer.lr = 1e-3;
  deck.scheduler.type = deck::SchedulerType::one_cycle;
  deck.scheduler.cycle_min_lr = 1e-4;
  deck.scheduler.cycle_max_lr = 1e-3;
  deck.scheduler.cycle_first_step_size = 20;
  deck.scheduler.cycle_second_step_size = 30;
  deck.precision.compute = DType::f16;
  deck.precision.skip_nonfinite_gradients = true;
  deck.precision.loss_scale = {.dynamic = true, .initial = 1024, .window = 5, .hysteresis = 2};
  return deck;
}

TEST(GradientScale, ClipsToTheNormAndUnscales) {
  const GradientScale scale = gradient_scale(16.0 * 9.0, 4.0, 1.0);  // true norm 3
  EXPECT_EQ(scale.norm, 3);
  EXPECT_DOUBLE_EQ(scale.clip_factor, 1 / (3 + 1e-6));
  EXPECT_DOUBLE_EQ(scale.factor, scale.clip_factor / 4);
  // DeepSpeed's form of the same.
  EXPECT_DOUBLE_EQ(scale.factor, 1 / (std::max(1.0, (3 + 1e-6) / 1.0) * 4));
}

TEST(GradientScale, LeavesSmallGradientsAloneAndCanBeOff) {
  EXPECT_EQ(gradient_scale(0.25, 1, 1.0).clip_factor, 1);
  EXPECT_EQ(gradient_scale(1e12, 1, 0).factor, 1);
  EXPECT_EQ(gradient_scale(0, 8, 1.0).factor, 0.125);
}

TEST(GradientScale, DoesNotDependOnTheLossScale) {
  const double norm = 2.7;
  const GradientScale plain = gradient_scale(norm * norm, 1, 1.0);
  const double scaled = 65536 * norm;
  const GradientScale with = gradient_scale(scaled * scaled, 65536, 1.0);
  EXPECT_DOUBLE_EQ(with.factor * 65536, plain.factor);
  // Planted fault: clipping before unscaling.
  EXPECT_NE(gradient_scale(scaled * scaled, 1, 1.0).factor * 65536, plain.factor);
}

TEST(StepControl, SkippedStepsAdvanceNothingButTheirCounts) {
  const deck::Deck deck = fp16_deck();
  StepControl control(deck);
  EXPECT_TRUE(control.decide({.sum_of_squares = 1}).apply);
  const double next_rate = control.learning_rate();
  const StepDecision skipped = control.decide({.sum_of_squares = kInfinity});
  EXPECT_FALSE(skipped.apply);
  EXPECT_FALSE(skipped.warning.empty());
  EXPECT_EQ(control.learning_rate(), next_rate);
  EXPECT_EQ(control.state().applied_steps, 1);
  EXPECT_EQ(control.state().skipped_steps, 1);
  const StepDecision applied = control.decide({.sum_of_squares = 1});
  EXPECT_EQ(applied.scalars.step, 2);
  EXPECT_EQ(applied.scalars.learning_rate, next_rate);
  EXPECT_EQ(control.state().skipped_in_a_row, 0);
}

TEST(StepControl, ScalarsFollowTheScheduleAndItsMomentum) {
  const deck::Deck deck = fp16_deck();
  StepControl control(deck);
  for (std::int64_t n = 0; n < 60; ++n) {
    const StepScalars now = control.decide({.sum_of_squares = 1}).scalars;
    const SchedulePoint point = schedule_at(deck.scheduler, deck.optimizer, n);
    EXPECT_EQ(now.step, n + 1);
    EXPECT_EQ(now.learning_rate, point.learning_rate);
    EXPECT_EQ(now.beta1, point.beta1);
    EXPECT_EQ(now.beta2, 0.99);
  }
}

TEST(StepControl, EitherSignOfNonFiniteGradientsSkips) {
  StepControl control(fp16_deck());
  EXPECT_FALSE(control.decide({.sum_of_squares = std::nan("")}).apply);
  EXPECT_FALSE(control.decide({.sum_of_squares = 1, .nonfinite = true}).apply);
  EXPECT_TRUE(control.decide({.sum_of_squares = 1}).apply);
}

/// Exit code with which a run of overflows ends, and after how many steps.
std::pair<Exit, int> end_of_overflows(const deck::Deck& deck) {
  StepControl control(deck);
  for (int step = 1; step <= 100; ++step) try {
      control.decide({.sum_of_squares = kInfinity});
    } catch (const Error& error) {
      return {error.code(), step};
    }
  return {Exit::kOk, 100};
}

TEST(StepControl, TenSkipsRunningEndTheRun) {
  deck::Deck deck = fp16_deck();
  deck.precision.loss_scale.initial = 0x1p30;
  EXPECT_EQ(end_of_overflows(deck), (std::pair{Exit::kNumbers, 10}));
  deck.run.max_skipped_steps = 3;
  EXPECT_EQ(end_of_overflows(deck), (std::pair{Exit::kNumbers, 3}));
}

TEST(StepControl, AnOverflowAtTheMinimumScaleEndsTheRunEarlier) {
  deck::Deck deck = fp16_deck();
  deck.precision.loss_scale.initial = 4;  // hysteresis 2: 4 4->2 ->1, then the end
  EXPECT_EQ(end_of_overflows(deck), (std::pair{Exit::kNumbers, 4}));
}

TEST(StepControl, WhereTheDeckDoesNotSkipTheFirstOneEndsTheRun) {
  deck::Deck deck = fp16_deck();
  deck.precision = {};
  EXPECT_EQ(end_of_overflows(deck), (std::pair{Exit::kNumbers, 1}));
  deck.precision.compute = DType::bf16;
  deck.precision.skip_nonfinite_gradients = true;  // bf16.check_grad_overflow
  EXPECT_EQ(end_of_overflows(deck), (std::pair{Exit::kNumbers, 10}));
}

TEST(StepControl, AMomentumGrownToOneIsAnError) {
  deck::Deck deck = fp16_deck();
  deck.scheduler.decay_step_size = 1;
  deck.scheduler.decay_mom_rate = 0.05;
  StepControl control(deck);
  try {
    for (int step = 0; step < 60; ++step) control.decide({.sum_of_squares = 1});
    FAIL() << "0.9 (1 + 0.05 t) passes 1 three updates behind the cycle";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kUsage);
    EXPECT_NE(error.text().find("decay_mom_rate"), std::string::npos);
  }
}

std::vector<StepDecision> run(StepControl& control, const std::vector<double>& squares,
                              std::size_t begin, std::size_t end) {
  std::vector<StepDecision> decisions;
  for (std::size_t i = begin; i < end; ++i)
    decisions.push_back(control.decide({.sum_of_squares = squares[i]}));
  return decisions;
}

bool same(const StepDecision& a, const StepDecision& b) {
  return a.apply == b.apply && a.loss_scale == b.loss_scale && a.scalars.step == b.scalars.step &&
         a.scalars.learning_rate == b.scalars.learning_rate && a.scalars.beta1 == b.scalars.beta1 &&
         a.scalars.gradient_factor == b.scalars.gradient_factor;
}

/// Steps behind `stop` that differ between one run and a run stopped and resumed there, when
/// `lose` has had its way with the stored state.
template <class Lose>
int differences_after_resume(std::size_t stop, Lose lose) {
  const deck::Deck deck = fp16_deck();
  std::mt19937_64 random(7);
  std::vector<double> squares(80);
  for (double& s : squares)
    s = random() % 5 == 0 ? kInfinity : static_cast<double>(random() % 1000);
  StepControl whole(deck);
  const auto expected = run(whole, squares, 0, squares.size());
  StepControl first(deck);
  run(first, squares, 0, stop);
  OptimState stored = optim_state_from_json(to_json(first.state()));
  lose(stored);
  StepControl second(deck);
  second.restore(stored);
  const auto found = run(second, squares, stop, squares.size());
  int differences = 0;
  for (std::size_t i = 0; i < found.size(); ++i) differences += !same(found[i], expected[stop + i]);
  return differences;
}

TEST(Resume, AtAnyStepEqualsTheUninterruptedRun) {
  for (std::size_t stop = 0; stop <= 80; ++stop)
    EXPECT_EQ(differences_after_resume(stop, [](OptimState&) {}), 0) << "stopped at " << stop;
}

TEST(Resume, PlantedLossesOfStateAreSeen) {
  EXPECT_GT(differences_after_resume(33, [](OptimState& s) { --s.applied_steps; }), 0);
  EXPECT_GT(differences_after_resume(33, [](OptimState& s) { s.scaler.scale *= 2; }), 0);
  EXPECT_GT(differences_after_resume(33, [](OptimState& s) { ++s.scaler.last_overflow; }), 0);
}

TEST(Resume, TextKeepsEveryBitAndRefusesRubbish) {
  const LossScalerState scaler{.scale = 1.0 / 3, .hysteresis = 2, .steps = 9, .last_overflow = 8};
  OptimState state{1234567890123, 7, 2, scaler};
  EXPECT_EQ(optim_state_from_json(to_json(state)), state);
  for (const char* text : {"", "{}", "[1]", R"({"applied_steps": "many"})"})
    EXPECT_THROW(optim_state_from_json(text), Error) << text;
  state.scaler.scale = 0;
  EXPECT_THROW(optim_state_from_json(to_json(state)), Error);
}

TEST(Resume, AStaticScaleOfTheDeckWins) {
  deck::Deck deck = fp16_deck();
  deck.precision.loss_scale = {.dynamic = false, .initial = 256};
  StepControl control(deck);
  OptimState stored;
  stored.scaler.scale = 64;
  control.restore(stored);
  EXPECT_EQ(control.loss_scale(), 256);
}

}  // namespace
}  // namespace trireme::optim
