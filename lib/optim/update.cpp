// From the deck's optimizer and a step's scalars to the kernels' arguments.

#include "lib/optim/optimizer.hpp"

namespace trireme::optim {
namespace {

using deck::OptimizerConfig;
using deck::OptimizerType;

template <class T>
std::span<T> part(std::span<T> whole, const Range& range) {
  return whole.empty() ? whole : whole.subspan(range.begin, range.size());
}

TensorView part(const TensorView& whole, const Range& range) {
  if (!whole) return {};
  const auto bytes = range.begin * static_cast<std::int64_t>(size_of(whole.dtype));
  return {static_cast<char*>(whole.data) + bytes, Shape{range.size()}, whole.dtype, 0, whole.space};
}

kernels::UpdateRange range_of(const OptimizerConfig& optimizer, const StepScalars& scalars,
                              const UnitMemory& memory) {
  return {.master = memory.master,
          .weights = memory.weights,
          .gradient = memory.gradient,
          .gradient_scale = static_cast<float>(scalars.gradient_factor),
          .learning_rate = scalars.learning_rate,
          .weight_decay = optimizer.weight_decay,
          .undecayed = {},
          .space = memory.space};
}

kernels::UpdateRange range_of(const OptimizerConfig& optimizer, const StepScalars& scalars,
                              const TensorSpan& span, const UnitMemory& memory) {
  kernels::UpdateRange range = range_of(optimizer, scalars, memory);
  range.master = part(memory.master, span.elements);
  range.weights = part(memory.weights, span.elements);
  range.gradient = part(memory.gradient, span.elements);
  if (!span.decays) range.weight_decay = 0;
  return range;
}

kernels::Lamb lamb_of(const OptimizerConfig& optimizer, const StepScalars& scalars) {
  return {.beta1 = scalars.beta1,
          .beta2 = scalars.beta2,
          .epsilon = optimizer.eps,
          .max_coefficient = optimizer.max_coeff,
          .min_coefficient = optimizer.min_coeff,
          .bias_correction = optimizer.bias_correction};
}

}  // namespace

void update_unit(const OptimizerConfig& optimizer, const StepScalars& scalars,
                 std::span<const Range> undecayed, const UnitMemory& memory) {
  kernels::UpdateRange range = range_of(optimizer, scalars, memory);
  range.undecayed = undecayed;
  const auto& [first, second] = memory.states;
  switch (optimizer.type) {
    case OptimizerType::adam:
    case OptimizerType::adamw:
      return kernels::adam_update({.beta1 = scalars.beta1,
                                   .beta2 = scalars.beta2,
                                   .epsilon = optimizer.eps,
                                   .decoupled = optimizer.type == OptimizerType::adamw,
                                   .bias_correction = optimizer.bias_correction},
                                  scalars.step, range, first, second);
    case OptimizerType::sgd:
      return kernels::sgd_update({.momentum = optimizer.momentum,
                                  .dampening = optimizer.dampening,
                                  .nesterov = optimizer.nesterov},
                                 scalars.step, range, first);
    case OptimizerType::lion:
      return kernels::lion_update({.beta1 = scalars.beta1, .beta2 = scalars.beta2}, range, first);
    case OptimizerType::lamb: break;
  }
  fail(Exit::kUnexpected, "LAMB's update has two halves: lamb_begin and lamb_finish");
}

void lamb_begin(const OptimizerConfig& optimizer, const StepScalars& scalars,
                std::span<const TensorSpan> spans, const UnitMemory& memory,
                std::span<kernels::LambNorms* const> norms) {
  check(norms.size() == spans.size(), Exit::kUnexpected,
        "expected room for the norms of {} tensors, found {}", spans.size(), norms.size());
  for (std::size_t i = 0; i < spans.size(); ++i)
    kernels::lamb_moments(lamb_of(optimizer, scalars),
                          range_of(optimizer, scalars, spans[i], memory),
                          part(memory.states[0], spans[i].elements),
                          part(memory.states[1], spans[i].elements), norms[i]);
}

void lamb_finish(const OptimizerConfig& optimizer, const StepScalars& scalars,
                 std::span<const TensorSpan> spans, std::span<kernels::LambNorms* const> norms,
                 const UnitMemory& memory) {
  check(norms.size() == spans.size(), Exit::kUnexpected,
        "expected the norms of {} tensors, found {}", spans.size(), norms.size());
  const kernels::Lamb lamb = lamb_of(optimizer, scalars);
  for (std::size_t i = 0; i < spans.size(); ++i)
    kernels::lamb_apply(
        lamb, scalars.step, norms[i], range_of(optimizer, scalars, spans[i], memory),
        part(memory.states[0], spans[i].elements), part(memory.states[1], spans[i].elements));
}

}  // namespace trireme::optim
