// What an optimizer needs to know of a unit: states, spans of equal treatment, parts of the norm.

#include "lib/optim/optimizer.hpp"

#include <algorithm>

namespace trireme::optim {
namespace {

using deck::OptimizerType;

std::vector<const nn::PlacedParameter*> by_offset(const nn::Unit& unit) {
  std::vector<const nn::PlacedParameter*> order;
  for (const nn::PlacedParameter& placed : unit.parameters) order.push_back(&placed);
  std::ranges::sort(order, {}, &nn::PlacedParameter::offset);
  return order;
}

bool divided(const nn::PlacedParameter& placed) { return placed.parameter.split_dim >= 0; }

}  // namespace

std::span<const std::string_view> state_names(const deck::OptimizerConfig& optimizer) {
  static constexpr std::array<std::string_view, 2> kMoments{"exp_avg", "exp_avg_sq"};
  static constexpr std::array<std::string_view, 1> kMomentum{"momentum_buffer"};
  switch (optimizer.type) {
    case OptimizerType::adam:
    case OptimizerType::adamw:
    case OptimizerType::lamb: return kMoments;
    case OptimizerType::lion: return std::span(kMoments).first(1);
    case OptimizerType::sgd:
      if (optimizer.momentum == 0) return {};
      return kMomentum;
  }
  fail(Exit::kUnexpected, "expected one of five optimizers, found number {}",
       static_cast<int>(optimizer.type));
}

bool needs_tensor_norms(const deck::OptimizerConfig& optimizer) {
  return optimizer.type == OptimizerType::lamb;
}

std::vector<Range> undecayed_ranges(const nn::Unit& unit) {
  std::vector<Range> ranges;
  bool decays = true;  // the parameter before
  for (const nn::PlacedParameter* placed : by_offset(unit)) {
    if (!decays) ranges.back().end = placed->offset;
    const bool begins = decays && !placed->parameter.decays;
    decays = placed->parameter.decays;
    if (begins) ranges.push_back({placed->offset, placed->offset});
  }
  if (!decays) ranges.back().end = unit.elements;
  return ranges;
}

std::vector<TensorSpan> tensor_spans(const nn::Unit& unit) {
  std::vector<TensorSpan> spans;
  for (const nn::PlacedParameter* placed : by_offset(unit))
    spans.push_back({{placed->offset, placed->offset + placed->elements()},
                     placed->parameter.decays,
                     divided(*placed)});
  return spans;
}

std::vector<Range> norm_ranges(const nn::Unit& unit, std::int64_t tensor_index) {
  std::vector<Range> ranges;
  const nn::PlacedParameter* previous = nullptr;
  for (const nn::PlacedParameter* placed : by_offset(unit)) {
    const bool counts = tensor_index == 0 || divided(*placed);
    const std::int64_t end = placed->offset + placed->elements();
    if (counts && previous)
      ranges.back().end = end;
    else if (counts)
      ranges.push_back({placed->offset, end});
    previous = counts ? placed : nullptr;
  }
  return ranges;
}

}  // namespace trireme::optim
