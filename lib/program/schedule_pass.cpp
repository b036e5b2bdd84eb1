// First pass: the pipeline schedule's actions become segments, tensor-parallel collectives and
// transfers.

#include "lib/program/compile.hpp"

#include <map>
#include <tuple>

namespace trireme::program {
namespace {

using nn::Half;
using nn::Role;
using nn::Slot;
using nn::StepKind;

class Emitter {
 public:
  Emitter(const models::Model& model, const Layout& layout, const Options& options,
          const ResidentTable& resident)
      : model_(model), layout_(layout), options_(options), resident_(resident) {
    grid_.stages = layout.stages;
    grid_.buffers = resident.buffers();
  }

  GridProgram run();

 private:
  void loads();
  void chunk(const Action& action);
  void step(std::int32_t block, std::int32_t micro, Pass pass, std::int32_t index);
  void transfer(std::int32_t from_block, std::int32_t to_block, std::int32_t micro, bool forward);
  void model_state(Instruction& instruction, const models::Block& block, const nn::Step& step);
  BufferId slot_buffer(std::int32_t block, std::int32_t micro, Slot slot, Pass pass);
  BufferId boundary(std::int32_t stage, std::int32_t block, std::int32_t micro, bool gradient);
  BufferId buffer(const Buffer& wanted);
  std::pair<std::int32_t, std::int32_t> blocks_of(std::int32_t chunk) const {
    const auto c = static_cast<std::size_t>(chunk);
    return {layout_.chunk_begin[c], layout_.chunk_begin[c + 1]};
  }
  const models::Block& block_at(std::int32_t b) const {
    return model_.blocks[static_cast<std::size_t>(b)];
  }

  const models::Model& model_;
  const Layout& layout_;
  const Options& options_;
  const ResidentTable& resident_;
  GridProgram grid_;
  std::map<std::tuple<int, int, int, int, Purpose>, BufferId> made_;
  std::map<std::pair<int, int>, std::pair<int, int>>
      first_gradient_;  // (stage, unit) -> (block, micro)
  bool loss_written_ = false;
};

GridProgram Emitter::run() {
  std::vector<double> forward;
  std::vector<double> backward;
  for (std::int32_t c = 0; c < layout_.chunks(); ++c) {
    const auto [begin, end] = blocks_of(c);
    forward.push_back(0);
    backward.push_back(0);
    for (std::int32_t b = begin; b < end; ++b) {
      forward.back() += block_at(b).plan->forward_flops();
      backward.back() += block_at(b).plan->backward_flops();
    }
  }
  loads();
  for (const Action& action : linear_order(options_.shape, forward, backward)) chunk(action);
  return std::move(grid_);
}

BufferId Emitter::buffer(const Buffer& wanted) {
  const auto [at, added] =
      made_.try_emplace({wanted.stage, wanted.owner, wanted.micro, wanted.slot, wanted.purpose},
                        static_cast<BufferId>(grid_.buffers.size()));
  if (added) grid_.buffers.push_back(wanted);
  return at->second;
}

constexpr std::int32_t kBoundarySlot = -1;

BufferId Emitter::boundary(std::int32_t stage, std::int32_t block, std::int32_t micro,
                           bool gradient) {
  Buffer wanted;
  wanted.stage = stage;
  wanted.owner = block;
  wanted.micro = micro;
  wanted.slot = kBoundarySlot;
  wanted.purpose = gradient ? Purpose::activation_gradients : Purpose::activations;
  wanted.bytes = model_.placement.local_tokens() * model_.hidden *
                 static_cast<std::int64_t>(size_of(model_.placement.compute));
  return buffer(wanted);
}

BufferId Emitter::slot_buffer(std::int32_t block, std::int32_t micro, Slot slot, Pass pass) {
  const nn::BufferSpec& spec = block_at(block).plan->buffers[static_cast<std::size_t>(slot)];
  Buffer wanted;
  wanted.stage = layout_.stage_of_block(block);
  wanted.owner = block;
  wanted.micro = micro;
  wanted.slot = static_cast<std::int32_t>(slot);
  wanted.bytes = spec.bytes();
  switch (spec.role) {
    case Role::input: return boundary(wanted.stage, block, micro, false);
    case Role::output: return boundary(wanted.stage, block + 1, micro, false);
    case Role::input_gradient: return boundary(wanted.stage, block, micro, true);
    case Role::output_gradient: return boundary(wanted.stage, block + 1, micro, true);
    case Role::loss: return resident_.scalars(wanted.stage);
    case Role::tokens:
    case Role::documents:
      wanted.owner = -1;
      wanted.slot = static_cast<std::int32_t>(spec.role);
      wanted.purpose = Purpose::tokens;
      return buffer(wanted);
    case Role::internal: break;
  }
  // A buffer that forward wrote keeps its purpose when backward reads or reuses it.
  wanted.purpose = Purpose::activations;
  const auto known = made_.find({wanted.stage, block, micro, wanted.slot, Purpose::activations});
  if (known != made_.end()) return known->second;
  if (pass == Pass::backward) wanted.purpose = Purpose::activation_gradients;
  return buffer(wanted);
}

void Emitter::loads() {
  for (std::int32_t micro = 0; micro < options_.shape.micro_batches; ++micro)
    for (std::int32_t stage = 0; stage < layout_.stages; ++stage) {
      Instruction load;
      load.kind = Kind::load;
      load.lane = Lane::storage;
      load.stage = stage;
      load.micro = micro;
      for (std::size_t b = 0; b < model_.blocks.size(); ++b) {
        const auto block = static_cast<std::int32_t>(b);
        if (layout_.stage_of_block(block) != stage) continue;
        for (const Role role : {Role::tokens, Role::documents}) {
          const Slot slot = model_.blocks[b].plan->slot_of(role);
          if (slot == Slot::none) continue;
          const BufferId id = slot_buffer(block, micro, slot, Pass::forward);
          if (std::find(load.writes.begin(), load.writes.end(), id) != load.writes.end()) continue;
          load.writes.push_back(id);
          load.bytes += grid_.buffers[static_cast<std::size_t>(id)].bytes;
        }
      }
      if (!load.writes.empty()) grid_.order.push_back(std::move(load));
    }
}

/// Index of the last step that writes the slot with this role; -1 when the plan has none.
std::int32_t last_writer(const nn::BlockPlan& plan, const std::vector<nn::Step>& steps, Role role) {
  const Slot slot = plan.slot_of(role);
  for (auto i = static_cast<std::int32_t>(steps.size()); i-- > 0;)
    for (const Slot written : steps[static_cast<std::size_t>(i)].writes)
      if (written == slot && slot != Slot::none) return i;
  return -1;
}

void Emitter::chunk(const Action& action) {
  const auto [begin, end] = blocks_of(action.chunk);
  const std::int32_t last_block = end - 1;
  if (action.forward) {
    for (std::int32_t b = begin; b < end; ++b) {
      const nn::BlockPlan& plan = *block_at(b).plan;
      const std::int32_t done = last_writer(plan, plan.forward, Role::output);
      for (std::int32_t i = 0; i < static_cast<std::int32_t>(plan.forward.size()); ++i) {
        step(b, action.micro, Pass::forward, i);
        if (b == last_block && i == done && end < static_cast<std::int32_t>(model_.blocks.size()))
          transfer(b, b + 1, action.micro, true);
      }
    }
    return;
  }
  for (std::int32_t b = end; b-- > begin;) {
    const nn::BlockPlan& plan = *block_at(b).plan;
    const std::int32_t done = last_writer(plan, plan.backward, Role::input_gradient);
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(plan.backward.size()); ++i) {
      step(b, action.micro, Pass::backward, i);
      if (b == begin && i == done && b > 0) transfer(b, b - 1, action.micro, false);
    }
  }
}

/// Sends the residual stream between two blocks, or its gradient, where they lie on different
/// stages.
void Emitter::transfer(std::int32_t from_block, std::int32_t to_block, std::int32_t micro,
                       bool forward) {
  const std::int32_t from = layout_.stage_of_block(from_block);
  const std::int32_t to = layout_.stage_of_block(to_block);
  if (from == to) return;
  const std::int32_t between = std::max(from_block, to_block);
  Instruction send;
  send.kind = Kind::send;
  send.lane = Lane::comm;
  send.pass = forward ? Pass::forward : Pass::backward;
  send.stage = from;
  send.peer = to;
  send.event = grid_.events++;
  send.block = between;
  send.micro = micro;
  send.reads = {boundary(from, between, micro, !forward)};
  send.bytes = grid_.buffers[static_cast<std::size_t>(send.reads[0])].bytes;
  Instruction receive = send;
  receive.kind = Kind::receive;
  receive.stage = to;
  receive.peer = from;
  receive.reads.clear();
  receive.writes = {boundary(to, between, micro, !forward)};
  grid_.order.push_back(std::move(send));
  grid_.order.push_back(std::move(receive));
}

void Emitter::model_state(Instruction& instruction, const models::Block& block,
                          const nn::Step& step) {
  const auto homes = [&](int position, Purpose purpose) {
    return resident_.homes(instruction.stage, block.units[static_cast<std::size_t>(position)],
                           purpose);
  };
  for (const int position : step.weights_of)
    for (const BufferId id : homes(position, Purpose::weights)) instruction.reads.push_back(id);
  for (const int position : step.gradients_of) {
    const int unit = block.units[static_cast<std::size_t>(position)];
    const std::pair writer{instruction.block, instruction.micro};
    const auto [first, is_first] = first_gradient_.try_emplace({instruction.stage, unit}, writer);
    if (!is_first && first->second != writer) instruction.accumulate |= 1u << position;
    for (const BufferId id : homes(position, Purpose::gradients)) instruction.writes.push_back(id);
  }
  instruction.accumulate_tail = instruction.accumulate;
}

void Emitter::step(std::int32_t block, std::int32_t micro, Pass pass, std::int32_t index) {
  const models::Block& owner = block_at(block);
  const nn::Step& step =
      (pass == Pass::forward ? owner.plan->forward
                             : owner.plan->backward)[static_cast<std::size_t>(index)];
  Instruction made;
  made.pass = pass;
  made.stage = layout_.stage_of_block(block);
  made.block = block;
  made.step = index;
  made.micro = micro;
  made.flops = step.flops;
  made.bytes = step.bytes;
  switch (step.kind) {
    case StepKind::compute: break;
    case StepKind::all_reduce: made.kind = Kind::all_reduce; break;
    case StepKind::all_gather: made.kind = Kind::all_gather; break;
    case StepKind::reduce_scatter: made.kind = Kind::reduce_scatter; break;
  }
  if (made.kind != Kind::segment) {
    made.lane = Lane::comm;
    made.group = Group::tensor;
  }
  for (const Slot slot : step.reads) made.reads.push_back(slot_buffer(block, micro, slot, pass));
  for (const Slot slot : step.writes) {
    made.writes.push_back(slot_buffer(block, micro, slot, pass));
    if (owner.plan->buffers[static_cast<std::size_t>(slot)].role != Role::loss) continue;
    if (loss_written_) made.accumulate |= kAccumulateLoss;
    loss_written_ = true;
  }
  model_state(made, owner, step);
  grid_.order.push_back(std::move(made));
}

}  // namespace

GridProgram schedule_pass(const models::Model& model, const Layout& layout, const Options& options,
                          const ResidentTable& resident) {
  return Emitter(model, layout, options, resident).run();
}

}  // namespace trireme::program
