// Second pass: what a block's forward saved is dropped, and rebuilt right before its backward. Only
// the steps that backward depends on are replayed, so that a block's last collective is not
// repeated.

#include "lib/program/compile.hpp"

#include <map>
#include <set>

namespace trireme::program {
namespace {

using nn::Slot;

bool is_internal(const nn::BlockPlan& plan, Slot slot) {
  return plan.buffers[static_cast<std::size_t>(slot)].role == nn::Role::internal;
}

/// Forward steps, ascending, that rebuild every internal buffer which backward reads before it
/// writes it.
std::vector<std::int32_t> steps_to_replay(const nn::BlockPlan& plan) {
  std::set<Slot> needed;
  std::set<Slot> written;
  for (const nn::Step& step : plan.backward) {
    for (const Slot slot : step.reads)
      if (is_internal(plan, slot) && !written.contains(slot)) needed.insert(slot);
    written.insert(step.writes.begin(), step.writes.end());
  }
  std::vector<std::int32_t> replay;
  for (auto i = static_cast<std::int32_t>(plan.forward.size()); i-- > 0;) {
    const nn::Step& step = plan.forward[static_cast<std::size_t>(i)];
    bool wanted = false;
    for (const Slot slot : step.writes) wanted |= needed.contains(slot);
    if (!wanted) continue;
    replay.insert(replay.begin(), i);
    for (const Slot slot : step.reads)
      if (is_internal(plan, slot)) needed.insert(slot);
  }
  return replay;
}

/// Forward instructions of one (block, micro), by step.
using Forward = std::map<std::int32_t, Instruction>;

class Recompute {
 public:
  Recompute(GridProgram grid, const models::Model& model) : grid_(std::move(grid)), model_(model) {}
  GridProgram run();

 private:
  bool applies(std::int32_t block) const {
    return model_.blocks[static_cast<std::size_t>(block)].plan->slot_of(nn::Role::loss) ==
           Slot::none;
  }
  void replay(const std::pair<int, int>& key, std::vector<Instruction>& out);
  BufferId second(BufferId first, const nn::BlockPlan& plan, Slot slot);

  GridProgram grid_;
  const models::Model& model_;
  std::map<std::pair<int, int>, Forward> forward_;
  std::map<BufferId, BufferId> renamed_;  // first generation -> second, internal buffers only
};

BufferId Recompute::second(BufferId first, const nn::BlockPlan& plan, Slot slot) {
  const auto known = renamed_.find(first);
  if (known != renamed_.end()) return known->second;
  Buffer copy = grid_.buffers[static_cast<std::size_t>(first)];
  copy.generation = 1;
  const auto id = static_cast<BufferId>(grid_.buffers.size());
  grid_.buffers.push_back(copy);
  // A replayed step may rewrite the block's output; nobody reads that copy, so it gets no name.
  if (is_internal(plan, slot)) renamed_[first] = id;
  return id;
}

void Recompute::replay(const std::pair<int, int>& key, std::vector<Instruction>& out) {
  const nn::BlockPlan& plan = *model_.blocks[static_cast<std::size_t>(key.first)].plan;
  for (const std::int32_t index : steps_to_replay(plan)) {
    Instruction copy = forward_.at(key).at(index);
    const nn::Step& step = plan.forward[static_cast<std::size_t>(index)];
    copy.pass = Pass::recompute;
    for (std::size_t i = 0; i < step.writes.size(); ++i)
      copy.writes[i] = second(copy.writes[i], plan, step.writes[i]);
    for (std::size_t i = 0; i < step.reads.size(); ++i)
      if (const auto found = renamed_.find(copy.reads[i]); found != renamed_.end())
        copy.reads[i] = found->second;
    out.push_back(std::move(copy));
  }
}

GridProgram Recompute::run() {
  std::set<std::pair<int, int>> replayed;
  std::vector<Instruction> out;
  out.reserve(grid_.order.size() * 3 / 2);
  for (Instruction& instruction : grid_.order) {
    const std::pair key{instruction.block, instruction.micro};
    const bool of_block = instruction.step >= 0 && applies(instruction.block);
    if (of_block && instruction.pass == Pass::forward)
      forward_[key][instruction.step] = instruction;
    if (of_block && instruction.pass == Pass::backward) {
      if (replayed.insert(key).second) replay(key, out);
      for (auto* list : {&instruction.reads, &instruction.writes})
        for (BufferId& id : *list)
          if (const auto found = renamed_.find(id); found != renamed_.end()) id = found->second;
    }
    out.push_back(std::move(instruction));
  }
  grid_.order = std::move(out);
  return std::move(grid_);
}

}  // namespace

GridProgram recompute_pass(GridProgram grid, const models::Model& model) {
  return Recompute(std::move(grid), model).run();
}

}  // namespace trireme::program
