#include "lib/nn/plan.hpp"

#include "kernels/base/checked.hpp"

#include <numeric>

namespace trireme::nn {
namespace {

double sum_flops(const std::vector<Step>& steps) {
  return std::accumulate(steps.begin(), steps.end(), 0.0,
                         [](double sum, const Step& step) { return sum + step.flops; });
}

}  // namespace

Slot BlockPlan::slot_of(Role role) const {
  for (std::size_t i = 0; i < buffers.size(); ++i)
    if (buffers[i].role == role) return static_cast<Slot>(i);
  return Slot::none;
}

double BlockPlan::forward_flops() const { return sum_flops(forward); }
double BlockPlan::backward_flops() const { return sum_flops(backward); }

Slot PlanBuilder::buffer(std::string name, Shape shape, DType dtype, Role role) {
  plan_.buffers.push_back({std::move(name), shape, dtype, role});
  return static_cast<Slot>(plan_.buffers.size() - 1);
}

Slot PlanBuilder::product_buffer(std::string name, Shape shape, DType dtype) {
  constexpr std::int64_t kLine = 64;
  constexpr std::int64_t kLongRow = 4096;
  const auto element = static_cast<std::int64_t>(size_of(dtype));
  const std::int64_t lines = divide_up(shape[-1] * element, kLine);
  const Slot slot = buffer(std::move(name), shape, dtype);
  if (shape[-1] * element >= kLongRow)
    plan_.buffers.back().row_stride = (lines % 2 == 0 ? lines + 1 : lines) * kLine / element;
  return slot;
}

Slot PlanBuilder::like(Slot slot, std::string name) {
  const BufferSpec original = spec(slot);
  const Slot made = buffer(std::move(name), original.shape, original.dtype);
  plan_.buffers.back().row_stride = original.row_stride;
  return made;
}

const BufferSpec& PlanBuilder::spec(Slot slot) const {
  return plan_.buffers.at(static_cast<std::size_t>(slot));
}

ParameterId PlanBuilder::parameter(int unit, Parameter parameter) {
  if (plan_.units.size() <= static_cast<std::size_t>(unit))
    plan_.units.resize(static_cast<std::size_t>(unit) + 1);
  auto& parameters = plan_.units[static_cast<std::size_t>(unit)];
  parameters.push_back(std::move(parameter));
  return {unit, narrow<int>(parameters.size() - 1)};
}

void PlanBuilder::step(Pass pass, Step step) {
  check(step.kind != StepKind::compute || step.body, Exit::kUnexpected, "segment {} has no body",
        step.name);
  if (step.kind == StepKind::compute)
    for (const auto* slots : {&step.reads, &step.writes})
      for (const Slot slot : *slots) step.bytes += spec(slot).bytes();
  (pass == Pass::forward ? plan_.forward : plan_.backward).push_back(std::move(step));
}

void PlanBuilder::collective(Pass pass, StepKind kind, Slot from, Slot to) {
  if (placement_.tensor == 1) return;
  for (const Slot slot : {from, to})
    check(spec(slot).row_stride == 0, Exit::kUnexpected,
          "a collective moves {}, whose rows have gaps", spec(slot).name);
  Step added;
  added.kind = kind;
  added.name = spec(from).name;
  added.reads = {from};
  added.writes = {to};
  added.bytes = std::max(spec(from).bytes(), spec(to).bytes());
  step(pass, std::move(added));
}

void PlanBuilder::all_reduce(Pass pass, Slot slot) {
  collective(pass, StepKind::all_reduce, slot, slot);
}
void PlanBuilder::all_gather(Pass pass, Slot shard, Slot whole) {
  collective(pass, StepKind::all_gather, shard, whole);
}
void PlanBuilder::reduce_scatter(Pass pass, Slot whole, Slot shard) {
  collective(pass, StepKind::reduce_scatter, whole, shard);
}

std::shared_ptr<const BlockPlan> PlanBuilder::finish() {
  return std::make_shared<const BlockPlan>(std::move(plan_));
}

}  // namespace trireme::nn
