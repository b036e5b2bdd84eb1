// Updates of units: tensor-parallel parts move as the whole does, decay stays with its parameters.
// The rules themselves are tested with the kernels and against PyTorch in validation/reference.

#include "lib/optim/optimizer.hpp"

#include "kernels/base/error.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace trireme::optim {
namespace {

constexpr std::int64_t kRows = 6;
constexpr std::int64_t kColumns = 10;

nn::Unit unit_of(std::int64_t tensor) {
  nn::Parameter matrix;
  matrix.name = "weight";
  matrix.shape = {kRows, kColumns};
  matrix.split_dim = 0;
  matrix.decays = true;
  nn::Parameter norm;
  norm.name = "norm";
  norm.shape = {kColumns};
  return nn::make_unit("block", {matrix, norm}, tensor);
}

/// What tensor rank `index` of `tensor` holds of one model.
struct RankModel {
  RankModel(std::int64_t tensor, std::int64_t index)
      : unit(unit_of(tensor)),
        first_row(index * kRows / tensor),
        undecayed(undecayed_ranges(unit)),
        spans(tensor_spans(unit)),
        norms(spans.size()),
        master(static_cast<std::size_t>(unit.elements)),
        gradient(master.size()),
        first(master.size()),
        second(master.size()) {
    fill(master, 0);
  }
  void fill(std::vector<float>& values, int step) const {
    const auto value = [&](std::int64_t element) {
      return static_cast<float>(std::cos(1.7 * static_cast<double>(element) + 0.9 * step));
    };
    const nn::PlacedParameter& matrix = unit.parameters[0];
    for (std::int64_t i = 0; i < matrix.elements(); ++i)
      values[static_cast<std::size_t>(matrix.offset + i)] = value(first_row * kColumns + i);
    for (std::int64_t i = 0; i < kColumns; ++i)
      values[static_cast<std::size_t>(unit.parameters[1].offset + i)] = value(1000 + i);
  }
  std::vector<kernels::LambNorms*> places() {
    std::vector<kernels::LambNorms*> all;
    for (kernels::LambNorms& one : norms) all.push_back(&one);
    return all;
  }
  UnitMemory memory() { return {master, {}, gradient, {first, second}}; }
  float weight(std::int64_t row, std::int64_t column) const {
    return master[static_cast<std::size_t>(unit.parameters[0].offset +
                                           (row - first_row) * kColumns + column)];
  }

  nn::Unit unit;
  std::int64_t first_row;
  std::vector<Range> undecayed;
  std::vector<TensorSpan> spans;
  std::vector<kernels::LambNorms> norms;
  std::vector<float> master, gradient, first, second;
};

deck::OptimizerConfig optimizer_of(deck::OptimizerType type) {
  deck::OptimizerConfig optimizer;
  optimizer.type = type;
  optimizer.weight_decay = 0.1;
  optimizer.momentum = 0.9;
  return optimizer;
}

StepScalars scalars_of(int step) {
  return {.step = step, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.99};
}

/// LAMB's all-reduce over the tensor group.
void add_norms(std::vector<RankModel>& ranks) {
  for (std::size_t i = 0; i < ranks[0].spans.size(); ++i) {
    if (!ranks[0].spans[i].divided) continue;
    kernels::LambNorms sum;
    for (const RankModel& rank : ranks) {
      sum.weights += rank.norms[i].weights;
      sum.update += rank.norms[i].update;
    }
    for (RankModel& rank : ranks) rank.norms[i] = sum;
  }
}

std::vector<RankModel> train(const deck::OptimizerConfig& optimizer, std::int64_t tensor,
                             bool exchange_norms = true) {
  std::vector<RankModel> ranks;
  for (std::int64_t index = 0; index < tensor; ++index) ranks.emplace_back(tensor, index);
  for (int step = 1; step <= 5; ++step) {
    const StepScalars now = scalars_of(step);
    for (RankModel& rank : ranks) {
      rank.fill(rank.gradient, step);
      std::fill(rank.norms.begin(), rank.norms.end(), kernels::LambNorms{});
      if (needs_tensor_norms(optimizer))
        lamb_begin(optimizer, now, rank.spans, rank.memory(), rank.places());
      else
        update_unit(optimizer, now, rank.undecayed, rank.memory());
    }
    if (!needs_tensor_norms(optimizer)) continue;
    if (exchange_norms) add_norms(ranks);
    for (RankModel& rank : ranks)
      lamb_finish(optimizer, now, rank.spans, rank.places(), rank.memory());
  }
  return ranks;
}

double largest_difference(const RankModel& whole, const std::vector<RankModel>& parts) {
  double difference = 0;
  for (const RankModel& part : parts)
    for (std::int64_t row = part.first_row; row < part.first_row + kRows / std::ssize(parts); ++row)
      for (std::int64_t column = 0; column < kColumns; ++column)
        difference = std::max<double>(
            difference, std::abs(whole.weight(row, column) - part.weight(row, column)));
  return difference;
}

TEST(Update, PartsMoveAsTheWhole) {
  using enum deck::OptimizerType;
  for (const auto type : {adam, adamw, sgd, lion}) {
    const auto optimizer = optimizer_of(type);
    EXPECT_EQ(largest_difference(train(optimizer, 1)[0], train(optimizer, 2)), 0);
  }
  // LAMB's norms are summed in another order: a few roundings of weights near 1.
  const auto lamb_rule = optimizer_of(lamb);
  const RankModel whole = train(lamb_rule, 1)[0];
  EXPECT_LE(largest_difference(whole, train(lamb_rule, 3)), 1e-6);
  EXPECT_GT(largest_difference(whole, train(lamb_rule, 3, false)), 1e-5) << "planted fault";
}

TEST(Update, OnlyDecayingParametersFeelWeightDecay) {
  using enum deck::OptimizerType;
  for (const auto type : {adam, adamw, sgd, lion, lamb}) {
    auto optimizer = optimizer_of(type);
    const RankModel with = train(optimizer, 1)[0];
    optimizer.weight_decay = 0;
    const RankModel without = train(optimizer, 1)[0];
    EXPECT_GT(largest_difference(with, {without}), 1e-4);
    const auto norm = static_cast<std::size_t>(with.unit.parameters[1].offset);
    for (std::size_t i = norm; i < norm + kColumns; ++i)
      EXPECT_EQ(with.master[i], without.master[i]);
  }
}

TEST(Update, LambInOnePieceIsABugReport) {
  const auto optimizer = optimizer_of(deck::OptimizerType::lamb);
  RankModel model(1, 0);
  EXPECT_THROW(update_unit(optimizer, scalars_of(1), model.undecayed, model.memory()), Error);
  EXPECT_THROW(lamb_begin(optimizer, scalars_of(1), model.spans, model.memory(), {}), Error);
}

}  // namespace
}  // namespace trireme::optim
