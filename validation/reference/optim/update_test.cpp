// Whole updates (clipping, loss scale, schedule with momentum, decay groups, kernel) against
// PyTorch's optimizers under DeepSpeed's schedulers; updates.txt names its command and tolerance.

#include "lib/optim/optimizer.hpp"
#include "lib/optim/step_control.hpp"
#include "validation/reference/optim/golden.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <vector>

namespace trireme::optim {
namespace {

constexpr double kTolerance = 2e-6;  // absolute; why: updates.txt
constexpr std::int64_t kMatrix = 5;
constexpr std::int64_t kBias = 3;

/// The weights (step 0) and gradients of make_goldens.py.
double wave(std::int64_t element, std::int64_t step) {
  const double value =
      std::sin(0.7 * static_cast<double>(element + 1) + 1.3 * static_cast<double>(step)) *
      static_cast<double>(1 + step % 3);
  return static_cast<float>(value);
}

deck::Deck deck_of(const nlohmann::json& head) {
  deck::Deck deck;
  const nlohmann::json& params = head.at("params");
  deck::OptimizerConfig& optimizer = deck.optimizer;
  const std::string name = head.at("optimizer");
  optimizer.type = name == "Adam"  ? deck::OptimizerType::adam
                   : name == "SGD" ? deck::OptimizerType::sgd
                                   : deck::OptimizerType::adamw;
  optimizer.lr = kOptimizerLr;
  optimizer.weight_decay = params.value("weight_decay", 0.0);
  optimizer.eps = params.value("eps", optimizer.eps);
  optimizer.momentum = params.value("momentum", 0.0);
  optimizer.dampening = params.value("dampening", 0.0);
  optimizer.nesterov = params.value("nesterov", false);
  if (params.contains("betas")) {
    optimizer.beta1 = params.at("betas").at(0);
    optimizer.beta2 = params.at("betas").at(1);
  }
  const nlohmann::json& scheduler = head.at("scheduler");
  deck.scheduler = scheduler_of(scheduler.at("type"), scheduler.at("params"), optimizer);
  deck.gradient_clipping = head.at("clipping");
  deck.precision.loss_scale.initial = 1024;  // static: must not show in the weights
  return deck;
}

nn::Unit small_unit() {
  nn::Parameter matrix;
  matrix.name = "weight";
  matrix.shape = {1, kMatrix};
  matrix.decays = true;
  nn::Parameter bias;
  bias.name = "bias";
  bias.shape = {kBias};
  return nn::make_unit("block", {matrix, bias}, 1);
}

/// The unit's buffers, and how its elements are numbered in the golden file.
class SmallModel {
 public:
  SmallModel()
      : unit_(small_unit()),
        undecayed_(undecayed_ranges(unit_)),
        master_(size()),
        gradient_(size()),
        states_{std::vector<float>(size()), std::vector<float>(size())} {
    fill(master_, 0, 1);
  }

  /// Gradients of a step as the buffers hold them: `factor` times the true ones.
  void set_gradient(std::int64_t step, double factor) { fill(gradient_, step, factor); }
  double sum_of_squares() const {
    double sum = 0;
    for (const Range& range : norm_ranges(unit_, 0))
      for (std::int64_t e = range.begin; e < range.end; ++e)
        sum += std::pow(gradient_[static_cast<std::size_t>(e)], 2);
    return sum;
  }
  void update(const deck::OptimizerConfig& optimizer, const StepScalars& scalars) {
    update_unit(optimizer, scalars, undecayed_,
                {.master = master_,
                 .weights = {},
                 .gradient = gradient_,
                 .states = {states_[0], states_[1]}});
  }
  double weight(std::int64_t i) const { return master_[at(i)]; }

 private:
  std::size_t size() const { return static_cast<std::size_t>(unit_.elements); }
  std::size_t at(std::int64_t i) const {
    const bool bias = i >= kMatrix;
    return static_cast<std::size_t>(unit_.parameters[bias].offset + i - (bias ? kMatrix : 0));
  }
  void fill(std::vector<float>& values, std::int64_t step, double factor) {
    for (std::int64_t i = 0; i < kMatrix + kBias; ++i)
      values[at(i)] = static_cast<float>(factor * wave(i, step));
  }

  nn::Unit unit_;
  std::vector<Range> undecayed_;
  std::vector<float> master_, gradient_;
  std::array<std::vector<float>, kMaxStates> states_;
};

/// Largest difference of a weight or norm in one case, with a fault planted in the deck or in the
/// scalars of a step.
template <class PlantDeck, class PlantScalars>
double largest_difference(const Case& golden, PlantDeck plant_deck, PlantScalars plant_scalars) {
  deck::Deck deck = deck_of(golden.head);
  plant_deck(deck);
  StepControl control(deck);
  SmallModel model;
  double difference = 0;
  for (const std::string& line : golden.lines) {
    std::istringstream text(line);
    std::int64_t step = 0;
    double norm = 0;
    text >> step >> norm;
    constexpr double kDivisor = 4;  // micro-batches whose sum the buffers hold
    model.set_gradient(step, kDivisor * control.loss_scale());
    StepDecision now =
        control.decide({.sum_of_squares = model.sum_of_squares(), .divisor = kDivisor});
    EXPECT_TRUE(now.apply);
    EXPECT_EQ(now.scalars.step, step);
    plant_scalars(now.scalars);
    model.update(deck.optimizer, now.scalars);
    difference = std::max(difference, std::abs(now.gradient.norm - norm));
    for (std::int64_t i = 0; i < kMatrix + kBias; ++i) {
      double expected = 0;
      text >> expected;
      difference = std::max(difference, std::abs(model.weight(i) - expected));
    }
    EXPECT_FALSE(text.fail()) << line;
  }
  return difference;
}

constexpr auto kNothing = [](auto&) {};

TEST(UpdatesAgainstTorch, WeightsAgreeAfterEveryStep) {
  const auto cases = read_cases("updates.txt");
  ASSERT_EQ(cases.size(), 5u);
  for (const Case& golden : cases) {
    EXPECT_EQ(golden.lines.size(), 12u);
    EXPECT_LE(largest_difference(golden, kNothing, kNothing), kTolerance) << golden.head;
  }
}

TEST(UpdatesAgainstTorch, PlantedFaultsAreSeenTenfold) {
  const auto cases = read_cases("updates.txt");
  const auto differs = [&](std::size_t i, auto plant_deck, auto plant_scalars) {
    return largest_difference(cases.at(i), plant_deck, plant_scalars) > 10 * kTolerance;
  };
  EXPECT_TRUE(differs(0, kNothing, [](auto& s) { s.beta1 = 0.9; })) << "momentum stays";
  EXPECT_TRUE(differs(0, kNothing, [](auto& s) { s.step += 1; })) << "bias correction is late";
  EXPECT_TRUE(differs(
      1, [](auto& d) { d.optimizer.type = deck::OptimizerType::adamw; }, kNothing));
  EXPECT_TRUE(differs(
      2, [](auto& d) { d.gradient_clipping = 0; }, kNothing));
  EXPECT_TRUE(differs(
      3, [](auto& d) { d.optimizer.nesterov = false; }, kNothing));
  EXPECT_TRUE(differs(4, kNothing, [](auto& s) { s.gradient_factor *= 4; })) << "not averaged";
}

}  // namespace
}  // namespace trireme::optim
