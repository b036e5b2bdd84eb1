#include "lib/engine/context.hpp"

namespace trireme::engine {

SegmentContext::SegmentContext(const models::Model& model, const program::Compiled& compiled,
                               const program::Instruction& instruction, state::Store& store,
                               const RunState& run)
    : instruction_(&instruction),
      block_(&model.blocks[static_cast<std::size_t>(instruction.block)]),
      run_(&run),
      micro_batch_(model.placement.micro_batch),
      compute_(model.placement.compute) {
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
  for (const int unit : block_->units) {
    UnitMemory memory;
    if (unit != models::kNoUnit) memory.unit = &model.units[static_cast<std::size_t>(unit)];
    const auto find = [&](const std::vector<program::BufferId>& ids, program::Purpose home,
                          program::Purpose live, std::byte*& body, std::byte*& tail) {
      for (const program::BufferId id : ids) {
        const program::Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
        if (buffer.owner != unit || (buffer.purpose != home && buffer.purpose != live)) continue;
        (buffer.part == program::Part::tail ? tail : body) = store.at(buffer);
      }
    };
    find(instruction.reads, program::Purpose::weights, program::Purpose::live_weights,
         memory.weights, memory.weights_tail);
    find(instruction.writes, program::Purpose::gradients, program::Purpose::live_gradients,
         memory.gradients, memory.gradients_tail);
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

TensorView SegmentContext::weight(nn::ParameterId id) const {
  const UnitMemory& memory = units_[static_cast<std::size_t>(id.unit)];
  const nn::PlacedParameter& parameter = placed(id);
  const bool tail = parameter.offset >= memory.unit->body;
  const std::int64_t element = parameter.offset - (tail ? memory.unit->body : 0);
  return {(tail ? memory.weights_tail : memory.weights) +
              element * static_cast<std::int64_t>(size_of(compute_)),
          parameter.local, compute_};
}

TensorView SegmentContext::gradient(nn::ParameterId id) const {
  const UnitMemory& memory = units_[static_cast<std::size_t>(id.unit)];
  const nn::PlacedParameter& parameter = placed(id);
  const bool tail = parameter.offset >= memory.unit->body;
  const std::int64_t element = parameter.offset - (tail ? memory.unit->body : 0);
  auto* values = reinterpret_cast<float*>(tail ? memory.gradients_tail : memory.gradients);
  return TensorView::of(values + element, parameter.local);
}

bool SegmentContext::accumulate(nn::ParameterId id) const {
  const bool tail = placed(id).offset >= units_[static_cast<std::size_t>(id.unit)].unit->body;
  return (tail ? instruction_->accumulate_tail : instruction_->accumulate) >> id.unit & 1u;
}

std::int64_t SegmentContext::first_sample() const {
  return first_sample_of(*run_->input, run_->place.at.data, instruction_->micro, micro_batch_);
}

}  // namespace trireme::engine
