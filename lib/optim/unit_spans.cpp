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

std::vector<UpdateSpan> update_spans(const nn::Unit& unit, const deck::OptimizerConfig& optimizer) {
  std::vector<UpdateSpan> spans;
  for (const nn::PlacedParameter* placed : by_offset(unit)) {
    const Range elements{placed->offset, placed->offset + placed->elements()};
    const bool decays = placed->parameter.decays;
    if (needs_tensor_norms(optimizer)) {
      spans.push_back({elements, decays, divided(*placed)});
    } else if (!spans.empty() && spans.back().decays == decays) {
      spans.back().elements.end = elements.end;
    } else {
      // The gap between parameters holds zeros and stays zero: it may go with either neighbour.
      const std::int64_t begin = spans.empty() ? 0 : spans.back().elements.end;
      spans.push_back({{begin, elements.end}, decays, false});
    }
  }
  if (!needs_tensor_norms(optimizer) && !spans.empty()) spans.back().elements.end = unit.elements;
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
