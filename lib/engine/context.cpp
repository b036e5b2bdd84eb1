#include "lib/engine/context.hpp"

namespace trireme::engine {

SegmentContext::SegmentContext(const models::Model& model, const program::Compiled& compiled,
                               const program::Instruction& instruction, state::Store& store,
                               const RunState& run)
    : instruction_(&instruction),
      block_(&model.blocks[static_cast<std::size_t>(instruction.block)]),
      run_(&run),
      micro_batch_(model.placement.micro_batch) {
  const nn::BlockPlan& plan = *block_->plan;
  const bool backward = instruction.pass == program::Pass::backward;
  const nn::Step& step =
      (backward ? plan.backward : plan.forward)[static_cast<std::size_t>(instruction.step)];
  const auto add = [&](nn::Slot slot, program::BufferId id) {
    const nn::BufferSpec& spec = plan.buffers[static_cast<std::size_t>(slot)];
    const program::Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
    void* memory = store.at(buffer);
    if (spec.role == nn::Role::loss) {
      const auto kind = run.place.at.tensor == 0 ? Scalar::loss : Scalar::loss_ignored;
      memory = store.scalars().data() + static_cast<std::size_t>(kind);
    }
    views_.emplace_back(slot, TensorView(memory, spec.shape, spec.dtype));
  };
  for (std::size_t i = 0; i < step.reads.size(); ++i) add(step.reads[i], instruction.reads[i]);
  for (std::size_t i = 0; i < step.writes.size(); ++i) add(step.writes[i], instruction.writes[i]);
  for (const int unit : block_->units)
    units_.push_back(unit == models::kNoUnit ? nullptr : &store.unit(unit));
}

TensorView SegmentContext::view(nn::Slot slot) const {
  for (const auto& [known, view] : views_)
    if (known == slot) return view;
  fail(Exit::kUnexpected, "a segment of {} uses slot {}, which it does not declare", block_->name,
       static_cast<int>(slot));
}

TensorView SegmentContext::weight(nn::ParameterId id) const {
  const state::UnitState& unit = *units_[static_cast<std::size_t>(id.unit)];
  const nn::PlacedParameter& placed = unit.unit->parameters[static_cast<std::size_t>(id.index)];
  auto* base = static_cast<std::byte*>(unit.weights.data);
  return {base + placed.offset * static_cast<std::int64_t>(size_of(unit.weights.dtype)),
          placed.local, unit.weights.dtype};
}

TensorView SegmentContext::gradient(nn::ParameterId id) const {
  const state::UnitState& unit = *units_[static_cast<std::size_t>(id.unit)];
  const nn::PlacedParameter& placed = unit.unit->parameters[static_cast<std::size_t>(id.index)];
  return TensorView::of(unit.gradients.data() + placed.offset, placed.local);
}

std::int64_t SegmentContext::first_sample() const {
  return first_sample_of(*run_->input, run_->place.at.data, instruction_->micro, micro_batch_);
}

}  // namespace trireme::engine
