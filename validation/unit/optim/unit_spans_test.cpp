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

/// True when every element of every parameter decays as its flag says, and the ranges are kernels'.
bool treats_all_alike(const nn::Unit& unit, const std::vector<Range>& undecayed) {
  std::vector<bool> decays(static_cast<std::size_t>(unit.elements), true);
  std::int64_t end = -1;
  for (const Range& range : undecayed) {
    if (range.begin <= end || range.size() <= 0) return false;  // neighbours are joined
    end = range.end;
    for (std::int64_t e = range.begin; e < range.end; ++e)
      decays.at(static_cast<std::size_t>(e)) = false;
  }
  for (const nn::PlacedParameter& placed : unit.parameters)
    for (std::int64_t e = placed.offset; e < placed.offset + placed.elements(); ++e)
      if (decays.at(static_cast<std::size_t>(e)) != placed.parameter.decays) return false;
  return true;
}

TEST(UndecayedRanges, AreNormsAndBiasesAlone) {
  for (const std::int64_t tensor : {1, 2}) {
    const nn::Unit unit = block(tensor);
    const std::vector<Range> ranges = undecayed_ranges(unit);
    EXPECT_EQ(ranges.size(), 2u) << "q k | q.bias | out | out.bias, norm";
    EXPECT_TRUE(treats_all_alike(unit, ranges));
    for (const int fault : {0, 1, 2}) {
      std::vector<Range> faulty = ranges;
      if (fault == 0) ++faulty[0].begin;
      if (fault == 1) faulty.pop_back();
      if (fault == 2) faulty.insert(faulty.begin(), {0, 1});
      EXPECT_FALSE(treats_all_alike(unit, faulty)) << "planted fault " << fault;
    }
  }
}

TEST(TensorSpans, AreTheParametersInOrder) {
  for (const std::int64_t tensor : {1, 2}) {
    const nn::Unit unit = block(tensor);
    const std::vector<TensorSpan> spans = tensor_spans(unit);
    ASSERT_EQ(spans.size(), unit.parameters.size());
    int divided = 0;
    std::int64_t end = 0;
    for (const TensorSpan& span : spans) {
      EXPECT_GE(span.elements.begin, end);
      end = span.elements.end;
      divided += span.divided;
      const auto same = [&](const nn::PlacedParameter& placed) {
        return placed.offset == span.elements.begin && placed.elements() == span.elements.size() &&
               placed.parameter.decays == span.decays;
      };
      EXPECT_EQ(std::count_if(unit.parameters.begin(), unit.parameters.end(), same), 1);
    }
    EXPECT_EQ(divided, 4) << "q, k, q.bias and out are divided over the tensor group";
  }
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
