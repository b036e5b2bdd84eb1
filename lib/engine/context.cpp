#include "lib/engine/context.hpp"

namespace trireme::engine {

SegmentContext::SegmentContext(const models::Model& model, const program::Compiled& compiled,
                               const program::Instruction& instruction, state::Store& store,
                               const RunState& run)
    : instruction_(&instruction),
      block_(&model.blocks[static_cast<std::size_t>(instruction.block)]),
      run_(&run),
      micro_batch_(model.placement.micro_batch),
      compute_(model.placement.compute),
      space_(store.gpu() ? MemorySpace::device : MemorySpace::host) {
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
      memory = store.device_scalars().data() + static_cast<std::size_t>(kind);
    }
    TensorView view = spec.view(memory);
    view.space = space_;
    views_.emplace_back(slot, view);
  };
  for (std::size_t i = 0; i < step.reads.size(); ++i) add(step.reads[i], instruction.reads[i]);
  for (std::size_t i = 0; i < step.writes.size(); ++i) add(step.writes[i], instruction.writes[i]);
  for (const int unit : block_->units) {
    UnitMemory memory;
    if (unit != models::kNoUnit) memory.unit = &model.units[static_cast<std::size_t>(unit)];
    const auto find = [&](const std::vector<program::BufferId>& ids, program::Purpose content,
                          StateMemory& state) {
      for (const program::BufferId id : ids) {
        const program::Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
        if (buffer.owner != unit || buffer.content != content) continue;
        (buffer.part == program::Part::tail ? state.tail : state.body) = store.at(buffer);
      }
    };
    find(instruction.reads, program::Purpose::weights, memory.weights);
    find(instruction.writes, program::Purpose::gradients, memory.gradients);
    units_.push_back(memory);
  }
}

TensorView SegmentContext::view(nn::Slot slot) const {
  for (const auto& [known, view] : views_)
    if (known == slot) return view;
  fail(Exit::kUnexpected, "a segment of {} uses slot {}, which it does not declare", block_->name,
       static_cast<int>(slot));
}

const nn::PlacedParameter& SegmentContext::placed(nn::ParameterId id) const {
  return units_[static_cast<std::size_t>(id.unit)]
      .unit->parameters[static_cast<std::size_t>(id.index)];
}

bool SegmentContext::in_tail(nn::ParameterId id) const {
  return placed(id).offset >= units_[static_cast<std::size_t>(id.unit)].unit->body;
}

TensorView SegmentContext::parameter_in(const StateMemory& memory, nn::ParameterId id,
                                        DType dtype) const {
  const nn::PlacedParameter& parameter = placed(id);
  const std::int64_t body = units_[static_cast<std::size_t>(id.unit)].unit->body;
  const auto size = static_cast<std::int64_t>(size_of(dtype));
  std::byte* first = in_tail(id) ? memory.tail + (parameter.offset - body) * size
                                 : memory.body + parameter.offset * size;
  return {first, parameter.local, dtype, 0, space_};
}

TensorView SegmentContext::weight(nn::ParameterId id) const {
  return parameter_in(units_[static_cast<std::size_t>(id.unit)].weights, id, compute_);
}

TensorView SegmentContext::gradient(nn::ParameterId id) const {
  return parameter_in(units_[static_cast<std::size_t>(id.unit)].gradients, id, DType::f32);
}

bool SegmentContext::accumulate(nn::ParameterId id) const {
  return (in_tail(id) ? instruction_->accumulate_tail : instruction_->accumulate) >> id.unit & 1u;
}

nn::RandomPlace SegmentContext::random_place() const {
  asked_.random = true;
  const nn::StepScalars& scalars = run_->input->scalars;
  return {scalars.seed, scalars.step,
          first_sample_of(*run_->input, run_->place.at.data, instruction_->micro, micro_batch_)};
}

}  // namespace trireme::engine
