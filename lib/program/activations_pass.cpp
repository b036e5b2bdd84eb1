// Third pass: what a block keeps from its forward to its recomputation, its input, waits in host
// memory or on NVMe, or divided over the tensor ranks, or both.
//
// It leaves while the block's forward reads it, so that the copy overlaps that forward and the
// bytes are free behind it; and it is back one block ahead of its recomputation. An input that
// would be away for less than one block's work stays.

#include "kernels/base/error.hpp"
#include "lib/program/compile.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

namespace trireme::program {
namespace {

/// The input of a block on one micro-batch, on the block's stage. A visit is a block's work on one
/// micro-batch, either way; visits are counted along the stage's list.
struct Input {
  BufferId buffer = -1;
  std::int32_t block = 0;
  std::int32_t micro = 0;
  std::size_t first_reader = 0;       // position of the block's first forward instruction on it
  std::size_t forward = 0;            // visit that reads it last before recomputation
  std::optional<std::size_t> replay;  // first visit of recomputation and backward on it
  std::vector<std::size_t> readers;   // positions of those that read it then
};

class Activations {
 public:
  Activations(GridProgram grid, const models::Model& model, const Options& options)
      : grid_(std::move(grid)),
        model_(model),
        tier_(options.activation_tier),
        parts_(model.placement.sequence_parallel ? 1 : model.placement.tensor) {
    if (!options.divide_activations) parts_ = 1;
  }
  GridProgram run();

 private:
  void stage(std::int32_t stage);
  bool is_input(const Instruction& reader, BufferId id) const;
  void put_away(const Input& input, std::size_t back);
  BufferId copy_of(BufferId buffer, Purpose purpose, Tier tier, std::int64_t parts);
  Instruction on(const Input& input, Kind kind, Pass pass, BufferId from, BufferId to) const;
  const Buffer& buffer(BufferId id) const { return grid_.buffers[static_cast<std::size_t>(id)]; }
  bool divides() const { return parts_ > 1; }

  GridProgram grid_;
  const models::Model& model_;
  Tier tier_;
  std::int64_t parts_;
  std::map<std::size_t, std::vector<Instruction>> before_;  // by position in the grid's order
};

/// Whether it is the input of a block that is recomputed: the last block never is.
bool Activations::is_input(const Instruction& reader, BufferId id) const {
  const Buffer& read = buffer(id);
  return read.purpose == Purpose::activations && read.slot < 0 && read.owner == reader.block &&
         model_.blocks[static_cast<std::size_t>(reader.block)].plan->slot_of(nn::Role::loss) ==
             nn::Slot::none;
}

BufferId Activations::copy_of(BufferId id, Purpose purpose, Tier tier, std::int64_t parts) {
  Buffer copy = buffer(id);
  check(copy.bytes % parts == 0, Exit::kUnexpected,
        "expected a block's input that {} tensor ranks can divide, found {} bytes", parts,
        copy.bytes);
  copy.bytes /= parts;
  copy.purpose = purpose;
  copy.tier = tier;
  copy.generation = 1;
  grid_.buffers.push_back(copy);
  return static_cast<BufferId>(grid_.buffers.size() - 1);
}

Instruction Activations::on(const Input& input, Kind kind, Pass pass, BufferId from,
                            BufferId to) const {
  Instruction made;
  made.kind = kind;
  made.lane = kind == Kind::all_gather ? Lane::comm : Lane::storage;
  made.pass = pass;
  made.stage = buffer(from).stage;
  made.block = input.block;
  made.micro = input.micro;
  made.reads = {from};
  made.writes = {to};
  made.bytes =
      kind == Kind::all_gather ? buffer(to).bytes : std::min(buffer(from).bytes, buffer(to).bytes);
  return made;
}

/// Takes an input away, and back before position `back`.
void Activations::put_away(const Input& input, std::size_t back) {
  std::vector<Instruction>& out = before_[input.first_reader];
  BufferId kept = input.buffer;
  if (divides()) {
    // Storage wants aligned memory, which a part of the whole is not: it goes there from a copy.
    const bool on_way = tier_ == Tier::nvme;
    kept = copy_of(input.buffer, on_way ? Purpose::staging : Purpose::kept_activations,
                   on_way ? Tier::device : tier_, parts_);
    out.push_back(on(input, Kind::store, Pass::forward, input.buffer, kept));
    out.back().group = Group::tensor;
  }
  if (buffer(kept).tier != tier_) {
    const BufferId away = copy_of(kept, Purpose::kept_activations, tier_, 1);
    out.push_back(on(input, Kind::store, Pass::forward, kept, away));
    kept = away;
  }

  std::vector<Instruction>& in = before_[back];
  const BufferId whole = copy_of(input.buffer, Purpose::activations, Tier::device, 1);
  if (tier_ != Tier::device) {
    const BufferId here = divides() ? copy_of(kept, Purpose::staging, Tier::device, 1) : whole;
    in.push_back(on(input, Kind::fetch, Pass::recompute, kept, here));
    kept = here;
  }
  if (divides()) {
    in.push_back(on(input, Kind::all_gather, Pass::recompute, kept, whole));
    in.back().group = Group::tensor;
  }
  for (const std::size_t reader : input.readers)
    std::replace(grid_.order[reader].reads.begin(), grid_.order[reader].reads.end(), input.buffer,
                 whole);
}

void Activations::stage(std::int32_t stage) {
  std::map<BufferId, Input> inputs;
  std::vector<std::size_t> visits;  // position of each one's first instruction
  std::tuple<std::int32_t, std::int32_t, bool> current{-1, -1, false};
  for (std::size_t i = 0; i < grid_.order.size(); ++i) {
    const Instruction& instruction = grid_.order[i];
    if (instruction.stage != stage || instruction.step < 0) continue;
    const bool forward = instruction.pass == Pass::forward;
    if (const std::tuple visit{instruction.block, instruction.micro, forward}; visit != current) {
      visits.push_back(i);
      current = visit;
    }
    for (const BufferId id : instruction.reads) {
      if (forward && is_input(instruction, id)) {
        Input& input = inputs[id];
        if (input.buffer < 0) input = {id, instruction.block, instruction.micro, i, 0, {}, {}};
        input.forward = visits.size() - 1;
      } else if (const auto known = inputs.find(id); !forward && known != inputs.end()) {
        if (!known->second.replay) known->second.replay = visits.size() - 1;
        known->second.readers.push_back(i);
      }
    }
  }
  for (const auto& [id, input] : inputs) {
    if (!input.replay || *input.replay < input.forward + 3) continue;
    put_away(input, visits[*input.replay - 1]);
  }
}

GridProgram Activations::run() {
  if (tier_ == Tier::device && !divides()) return std::move(grid_);
  for (std::int32_t s = 0; s < grid_.stages; ++s) stage(s);
  std::vector<Instruction> out;
  out.reserve(grid_.order.size() + 4 * before_.size());
  for (std::size_t i = 0; i < grid_.order.size(); ++i) {
    if (const auto here = before_.find(i); here != before_.end())
      std::move(here->second.begin(), here->second.end(), std::back_inserter(out));
    out.push_back(std::move(grid_.order[i]));
  }
  grid_.order = std::move(out);
  return std::move(grid_);
}

}  // namespace

GridProgram activations_pass(GridProgram grid, const models::Model& model, const Options& options) {
  return Activations(std::move(grid), model, options).run();
}

}  // namespace trireme::program
