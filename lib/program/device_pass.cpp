// Seventh pass, where device memory is not the host's: what the host does to state in device
// memory (communication, loads, updates of what lives on the host) it does to a copy in host
// memory, and a lane of its own in each direction moves that.
//
// Behind it every instruction touches one memory alone, but for the copies, and nothing moves
// between device memory and storage in one piece. With links communication between device buffers
// stays as it is, and reductions get memory to add in.

#include "kernels/base/device_links.hpp"
#include "lib/program/costs.hpp"
#include "lib/program/unit_ops.hpp"

#include <algorithm>
#include <iterator>
#include <map>

namespace trireme::program {
namespace {

bool contains(const std::vector<BufferId>& ids, BufferId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

/// Scalars and tokens of order (which no unit owns) are named by instructions that do not touch
/// their bytes.
bool is_data(const Buffer& buffer) {
  return buffer.purpose != Purpose::scalars &&
         (buffer.purpose != Purpose::optimizer || buffer.owner >= 0);
}

bool is_transfer(const Instruction& instruction) {
  return instruction.kind == Kind::fetch || instruction.kind == Kind::store;
}

class Apart {
 public:
  Apart(GridProgram grid, const models::Model& model, const Options& options,
        const ResidentTable& resident)
      : grid_(std::move(grid)),
        ops_(grid_, model, options, resident),
        groups_(group_sizes(model, make_layout(model, options), options)) {}
  GridProgram run();

 private:
  Tier tier(BufferId id) const { return ops_.buffer(id).tier; }
  bool moves_on(const Instruction& instruction, BufferId id) const;
  void add(Instruction instruction);
  void over_links(Instruction instruction);
  std::int64_t staging_for(const Instruction& instruction) const;
  void agree(Instruction instruction);
  void through_host(Instruction instruction);
  void by_copies(Instruction instruction);
  BufferId copy_for(const Instruction& instruction, BufferId id);
  BufferId plain_copy(BufferId id);
  Instruction move(Kind kind, const Instruction& user, BufferId from, BufferId to) const;
  void replace(Instruction& instruction, BufferId id, BufferId copy) const;
  void finish_event();

  GridProgram grid_;
  UnitOps ops_;
  GroupSizes groups_;
  std::map<std::int32_t, BufferId> staging_;  // by stage: where reductions over links add up
  std::map<std::int32_t, BufferId> agreed_;   // by stage: scalars of the world
  std::map<BufferId, BufferId> whole_;  // of buffers that shares are gathered into or summed from
  // Copies around the parts of one event, which stay neighbours.
  std::vector<Instruction> before_, event_, behind_, out_;
};

/// Whether what an update writes comes of what was there: it names masters and moments once.
bool Apart::moves_on(const Instruction& instruction, BufferId id) const {
  const Purpose content = ops_.buffer(id).content;
  return instruction.kind == Kind::update &&
         (content == Purpose::masters || content == Purpose::moments);
}

/// All of a buffer that is no part of a unit.
BufferId Apart::plain_copy(BufferId id) {
  Buffer copy = ops_.buffer(id);
  copy.offset = -1;
  copy.lifetime = Lifetime::step;
  copy.purpose = Purpose::staging;
  copy.tier = Tier::host;
  grid_.buffers.push_back(copy);
  return static_cast<BufferId>(grid_.buffers.size() - 1);
}

/// Where the host sees what the instruction touches of a buffer in device memory. A collective of
/// shares sees all members' in a copy with the layout of the whole, one for all of its pieces.
BufferId Apart::copy_for(const Instruction& instruction, BufferId id) {
  const Buffer& buffer = ops_.buffer(id);
  if (buffer.part == Part::none || instruction.part == Part::none) return plain_copy(id);
  const bool whole = instruction.lane == Lane::comm && instruction.part == Part::share &&
                     buffer.part == Part::body;
  if (!whole)
    return ops_.copy_of(id, Purpose::staging, Tier::host, instruction.part, instruction.elements,
                        buffer.micro);
  const auto [at, added] = whole_.try_emplace(id, -1);
  if (added)
    at->second =
        ops_.copy_of(id, Purpose::staging, Tier::host, Part::body, buffer.elements, buffer.micro);
  return at->second;
}

Instruction Apart::move(Kind kind, const Instruction& user, BufferId from, BufferId to) const {
  Instruction made;
  made.kind = kind;
  made.lane = tier(to) == Tier::nvme || tier(from) == Tier::nvme ? Lane::storage
              : tier(to) == Tier::host                           ? Lane::copy_out
                                                                 : Lane::copy_in;
  made.pass = user.pass;
  made.stage = user.stage;
  made.reads = {from};
  made.writes = {to};
  const Buffer& of = ops_.buffer(from);
  if (user.part == Part::none || of.part == Part::none) {
    (of.content == Purpose::optimizer ? made.unit : made.block) = of.owner;
    made.micro = of.micro;
    made.bytes = std::min(of.bytes, ops_.buffer(to).bytes);
    return made;
  }
  made.unit = user.unit;
  made.part = user.part;
  made.elements = user.elements;
  made.bytes = of.bytes / of.elements.size() * user.elements.size();
  return made;
}

void Apart::replace(Instruction& instruction, BufferId id, BufferId copy) const {
  std::replace(instruction.reads.begin(), instruction.reads.end(), id, copy);
  std::replace(instruction.writes.begin(), instruction.writes.end(), id, copy);
}

/// The sums of the device come to the host, where the world adds them up and the decision is made;
/// they do not go back.
void Apart::agree(Instruction instruction) {
  const BufferId scalars = instruction.reads[0];
  const BufferId copy = plain_copy(scalars);
  before_.push_back(move(Kind::store, instruction, scalars, copy));
  instruction.reads = instruction.writes = {copy};
  agreed_[instruction.stage] = copy;
  event_.push_back(std::move(instruction));
}

/// A transfer between device memory and storage takes two steps.
void Apart::through_host(Instruction instruction) {
  const BufferId from = instruction.reads[0];
  const BufferId to = instruction.writes[0];
  const BufferId device = tier(from) == Tier::device ? from : to;
  const BufferId copy = instruction.unit >= 0
                            ? ops_.copy_of(device, Purpose::staging, Tier::host, instruction.part,
                                           instruction.elements, ops_.buffer(device).micro)
                            : plain_copy(device);
  Instruction second = instruction;
  instruction.writes = {copy};
  second.reads[0] = copy;
  for (Instruction* step : {&instruction, &second}) {
    step->lane = move(step->kind, *step, step->reads[0], step->writes[0]).lane;
    event_.push_back(std::move(*step));
  }
}

void Apart::by_copies(Instruction instruction) {
  const Instruction as_it_was = instruction;
  const bool gathers = instruction.kind == Kind::all_gather && instruction.part == Part::share;
  const bool scatters = instruction.kind == Kind::reduce_scatter && instruction.part == Part::share;
  const bool roots = instruction.kind == Kind::broadcast;
  const auto members = [&](Instruction& step, bool all) {
    if (all) step.group = Group::shard;
    if (all) step.bytes *= ops_.unit(step.unit).ranks;
    if (roots) step.peer = instruction.peer;
  };
  std::vector<BufferId> touched = as_it_was.reads;
  for (const BufferId id : as_it_was.writes)
    if (!contains(touched, id)) touched.push_back(id);
  for (const BufferId id : touched) {
    if (tier(id) != Tier::device || !is_data(ops_.buffer(id))) continue;
    const BufferId copy = copy_for(as_it_was, id);
    replace(instruction, id, copy);
    if (contains(as_it_was.reads, id) || moves_on(as_it_was, id)) {
      Instruction out = move(Kind::store, as_it_was, id, copy);
      members(out, scatters);
      before_.push_back(std::move(out));
    }
    if (!contains(as_it_was.writes, id)) continue;
    Instruction in = move(Kind::fetch, as_it_was, copy, id);
    members(in, gathers);
    in.when = as_it_was.when;
    if (in.when == When::applied) in.reads.push_back(ops_.resident().scalars(in.stage));
    behind_.push_back(std::move(in));
  }
  event_.push_back(std::move(instruction));
}

/// Bytes in which a reduction holds the other members' pieces of this rank's part; all of it where
/// that is not too much, since each piece is a round.
std::int64_t Apart::staging_for(const Instruction& instruction) const {
  const std::int64_t n = members(instruction.group, groups_);
  const Buffer& source = ops_.buffer(instruction.reads[0]);
  std::int64_t longest = divide_up(instruction.bytes, n) + std::int64_t{sizeof(double)};
  if (instruction.part != Part::none) {
    const bool shares = instruction.part == Part::share;
    longest = source.bytes / source.elements.size() *
              (shares ? instruction.elements.size() : divide_up(instruction.elements.size(), n));
  }
  const std::int64_t whole = (n - 1) * round_up(longest, kLinkAlignment);
  return std::min(whole, std::max(kLinkStaging, (n - 1) * kLinkAlignment));
}

/// One piece of staging memory a stage: operations over links follow each other in any case.
void Apart::over_links(Instruction instruction) {
  const bool reduces =
      instruction.kind == Kind::all_reduce || instruction.kind == Kind::reduce_scatter;
  if (const std::int64_t bytes = reduces ? staging_for(instruction) : 0; bytes > 0) {
    const auto [at, added] =
        staging_.try_emplace(instruction.stage, static_cast<BufferId>(grid_.buffers.size()));
    if (added) {
      Buffer staging;
      staging.stage = instruction.stage;
      staging.purpose = Purpose::staging;
      grid_.buffers.push_back(staging);
    }
    Buffer& staging = grid_.buffers[static_cast<std::size_t>(at->second)];
    staging.bytes = std::max(staging.bytes, bytes);
    instruction.writes.push_back(at->second);
  }
  event_.push_back(std::move(instruction));
}

void Apart::add(Instruction instruction) {
  if (instruction.group == Group::world) return agree(std::move(instruction));
  if (instruction.kind == Kind::decide) instruction.reads = {agreed_.at(instruction.stage)};
  if (is_transfer(instruction)) {
    const Tier from = tier(instruction.reads[0]);
    const Tier to = tier(instruction.writes[0]);
    if (std::minmax(from, to) == std::minmax(Tier::device, Tier::nvme))
      return through_host(std::move(instruction));
    if (from == Tier::device || to == Tier::device)
      instruction.lane = to == Tier::host ? Lane::copy_out : Lane::copy_in;
  } else if (ops_.options().device_links && between_devices(grid_.buffers, instruction)) {
    return over_links(std::move(instruction));
  } else if (on_host(grid_.buffers, instruction)) {
    return by_copies(std::move(instruction));
  }
  event_.push_back(std::move(instruction));
}

void Apart::finish_event() {
  for (auto* part : {&before_, &event_, &behind_}) {
    std::move(part->begin(), part->end(), std::back_inserter(out_));
    part->clear();
  }
}

GridProgram Apart::run() {
  std::int32_t event = -1;
  for (Instruction& next : grid_.order) {
    if (next.event < 0 || next.event != event) finish_event();
    event = next.event;
    add(std::move(next));
  }
  finish_event();
  grid_.order = std::move(out_);
  return std::move(grid_);
}

}  // namespace

bool on_host(const std::vector<Buffer>& buffers, const Instruction& instruction) {
  if (instruction.lane == Lane::comm) return true;
  if (instruction.kind == Kind::load || instruction.kind == Kind::decide) return true;
  if (instruction.kind == Kind::segment || instruction.unit < 0) return false;
  for (const auto* ids : {&instruction.reads, &instruction.writes})
    for (const BufferId id : *ids)
      if (buffers[static_cast<std::size_t>(id)].tier == Tier::host) return true;
  return false;
}

bool between_devices(const std::vector<Buffer>& buffers, const Instruction& instruction) {
  if (instruction.lane != Lane::comm || instruction.group == Group::world) return false;
  for (const auto* ids : {&instruction.reads, &instruction.writes})
    for (const BufferId id : *ids) {
      const Buffer& buffer = buffers[static_cast<std::size_t>(id)];
      if (is_data(buffer) && buffer.tier != Tier::device) return false;
    }
  return true;
}

GridProgram device_pass(GridProgram grid, const models::Model& model, const Options& options,
                        const ResidentTable& resident) {
  if (!options.device_apart) return grid;
  return Apart(std::move(grid), model, options, resident).run();
}

}  // namespace trireme::program
