// Which elements of a unit are updated how, and which count in the global norm.

#include "lib/optim/optimizer.hpp"

#include "kernels/base/error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace trireme::optim {
namespace {

/// A block as models make them: norms and biases between the matrices, one norm in the tail.
nn::Unit block(std::int64_t tensor) {
  const auto matrix = [](const char* name, Shape shape, int split, bool follows = false) {
    nn::Parameter p;
    p.name = name;
    p.shape = shape;
    p.split_dim = split;
    p.follows_previous = follows;
    p.decays = true;
    return p;
  };
  const auto vector = [](const char* name, std::int64_t n, int split, bool partial) {
    nn::Parameter p;
    p.name = name;
    p.shape = {n};
    p.split_dim = split;
    p.partial_gradient = partial;
    return p;
  };
  return nn::make_unit("layers.0",
                       {vector("norm.weight", 20, -1, true), matrix("q.weight", {20, 20}, 0),
                        matrix("k.weight", {10, 20}, 0, true), vector("q.bias", 20, 0, false),
                        matrix("out.weight", {20, 20}, 1), vector("out.bias", 20, -1, false)},
                       tensor);
}

deck::OptimizerConfig optimizer(deck::OptimizerType type, double momentum = 0) {
  deck::OptimizerConfig config;
  config.type = type;
  config.momentum = momentum;
  return config;
}

TEST(States, AreNamedAsInPyTorch) {
  using enum deck::OptimizerType;
  using Names = std::vector<std::string_view>;
  const auto names = [](deck::OptimizerType type, double momentum = 0) {
    const auto found = state_names(optimizer(type, momentum));
    return Names(found.begin(), found.end());
  };
  for (const auto type : {adam, adamw, lamb})
    EXPECT_EQ(names(type), (Names{"exp_avg", "exp_avg_sq"}));
  EXPECT_EQ(names(lion), Names{"exp_avg"});
  EXPECT_EQ(names(sgd), Names{});
  EXPECT_EQ(names(sgd, 0.9), Names{"momentum_buffer"});
}

/// For every element of the buffer, how often the spans cover it and whether they decay it.
struct Coverage {
  std::vector<int> times;
  std::vector<bool> decays;
};
Coverage coverage(const nn::Unit& unit, const std::vector<UpdateSpan>& spans) {
  Coverage c{std::vector<int>(static_cast<std::size_t>(unit.elements)),
             std::vector<bool>(static_cast<std::size_t>(unit.elements))};
  for (const UpdateSpan& span : spans)
    for (std::int64_t e = span.elements.begin; e < span.elements.end; ++e) {
      ++c.times.at(static_cast<std::size_t>(e));
      c.decays.at(static_cast<std::size_t>(e)) = span.decays;
    }
  return c;
}

/// True when every element of every parameter is in one span that treats it as its flag says.
bool treats_all_once(const nn::Unit& unit, const std::vector<UpdateSpan>& spans) {
  const Coverage c = coverage(unit, spans);
  for (const int times : c.times)
    if (times > 1) return false;
  for (const nn::PlacedParameter& placed : unit.parameters)
    for (std::int64_t e = placed.offset; e < placed.offset + placed.elements(); ++e)
      if (c.times.at(static_cast<std::size_t>(e)) != 1 ||
          c.decays.at(static_cast<std::size_t>(e)) != placed.parameter.decays)
        return false;
  return true;
}

TEST(UpdateSpans, TreatEveryElementOnceAndAsItsFlagSays) {
  for (const std::int64_t tensor : {1, 2})
    for (const auto type : {deck::OptimizerType::adamw, deck::OptimizerType::lamb}) {
      const nn::Unit unit = block(tensor);
      auto spans = update_spans(unit, optimizer(type));
      EXPECT_TRUE(treats_all_once(unit, spans));
      auto fault = spans;
      fault[1].decays = !fault[1].decays;
      EXPECT_FALSE(treats_all_once(unit, fault));
      fault = spans;
      ++fault[0].elements.begin;
      EXPECT_FALSE(treats_all_once(unit, fault));
    }
}

TEST(UpdateSpans, AreFewForElementWiseRulesAndOneATensorForLamb) {
  const nn::Unit unit = block(2);
  // q k | q.bias | out | out.bias, norm (tail): neighbours of equal decay are one call.
  const auto merged = update_spans(unit, optimizer(deck::OptimizerType::adamw));
  EXPECT_EQ(merged.size(), 4u);
  EXPECT_EQ(merged.front().elements.begin, 0);
  EXPECT_EQ(merged.back().elements.end, unit.elements);
  for (std::size_t i = 1; i < merged.size(); ++i)
    EXPECT_EQ(merged[i].elements.begin, merged[i - 1].elements.end);
  const auto single = update_spans(unit, optimizer(deck::OptimizerType::lamb));
  EXPECT_EQ(single.size(), unit.parameters.size());
  int divided = 0;
  for (const UpdateSpan& span : single) divided += span.divided;
  EXPECT_EQ(divided, 4) << "q, k, q.bias and out are divided over the tensor group";
}

/// Logical elements that all tensor ranks together add to the norm.
std::int64_t counted(const nn::Unit& unit, std::int64_t tensor, bool forget_first = false) {
  std::int64_t sum = 0;
  for (std::int64_t index = 0; index < tensor; ++index)
    for (const Range& range : norm_ranges(unit, forget_first ? index + 1 : index))
      for (const nn::PlacedParameter& placed : unit.parameters)  // gaps hold zeros
        sum += std::max<std::int64_t>(0, std::min(range.end, placed.offset + placed.elements()) -
                                             std::max(range.begin, placed.offset));
  return sum;
}

TEST(NormRanges, CountEveryLogicalElementOnce) {
  for (const std::int64_t tensor : {1, 2}) {
    const nn::Unit unit = block(tensor);
    EXPECT_EQ(counted(unit, tensor), unit.logical_elements());
    EXPECT_NE(counted(unit, tensor, true), unit.logical_elements()) << "planted fault";
  }
}

}  // namespace
}  // namespace trireme::optim
