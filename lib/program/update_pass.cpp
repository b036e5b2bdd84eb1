// Sixth pass: norm, agreement of the world, updates, and the weights' way back to all who hold
// them.
//
// What an update needs and storage keeps is fetched before it and stored behind it, by sub-groups,
// so many ahead as the deck's buffers allow.

#include "lib/program/unit_ops.hpp"

#include <algorithm>
#include <set>

namespace trireme::program {
namespace {

/// Two f64 squared norms a tensor: of the weights and of the update.
constexpr std::int64_t kTensorNormBytes = 2 * std::int64_t{sizeof(double)};
constexpr std::int64_t kFloat = sizeof(float);

/// Elements that are updated with one instruction.
struct SubGroup {
  std::int32_t stage = 0;
  std::int32_t unit = 0;
  Part part = Part::body;
  Range elements;
};

/// A sub-group's instructions by phase: what may run ahead, the work, what may lag.
struct Phases {
  std::vector<Instruction> fetch;
  std::vector<Instruction> work;
  std::vector<Instruction> store;
  std::vector<Instruction> behind;  ///< collectives once the unit is complete
};

class Update {
 public:
  Update(GridProgram grid, const models::Model& model, const Layout& layout, const Options& options,
         const ResidentTable& resident)
      : grid_(std::move(grid)),
        layout_(layout),
        options_(options),
        resident_(resident),
        ops_(grid_, model, options, resident) {}

  GridProgram run();
  GridProgram refresh();

 private:
  enum class Access { read, write, both };

  void norms(std::int32_t stage);
  void agree();
  void stage_updates(std::int32_t stage, Kind kind);
  std::vector<SubGroup> sub_groups(std::int32_t stage, std::int32_t unit) const;
  std::vector<SubGroup> cut(std::int32_t stage, std::int32_t unit, bool tail) const;
  BufferId home(const SubGroup& group, Purpose purpose, std::int32_t number = 0) const;
  BufferId here(const SubGroup& group, BufferId home, Access access, Phases& phases);
  BufferId weights(const SubGroup& group, Phases& phases);
  void weights_back(std::int32_t stage, std::int32_t unit, Phases& phases);
  Phases update(const SubGroup& group, std::optional<BufferId> norms);
  Phases round(const SubGroup& group);
  Phases trust(const SubGroup& group, BufferId norms, bool first);
  void tensor_norms(std::int32_t stage, std::int32_t unit, std::vector<Phases>& list);
  void interleave(std::vector<Phases> list);
  bool masters_apart(const SubGroup& group) const {
    return resident_.master_purpose(group.stage, group.unit) == Purpose::masters;
  }

  GridProgram grid_;
  const Layout& layout_;
  const Options& options_;
  const ResidentTable& resident_;
  UnitOps ops_;
  std::vector<Instruction> out_;
  std::map<std::pair<std::int32_t, std::int32_t>, BufferId> whole_;  // weights on their way back
  When when_ = When::applied;
};

/// Bounds of sub-groups: where homes end, and the deck's size where anything lives away.
std::vector<SubGroup> Update::cut(std::int32_t stage, std::int32_t unit, bool tail) const {
  std::set<std::int64_t> bounds;
  Part part = Part::none;
  bool away = false;
  const auto add = [&](Purpose purpose, std::int32_t number) {
    for (const BufferId id : resident_.homes_of(stage, unit, purpose, tail, number)) {
      const Buffer& buffer = resident_.at(id);
      bounds.insert({buffer.elements.begin, buffer.elements.end});
      away |= buffer.tier != Tier::device;
      part = buffer.part;
    }
  };
  // A share of whole gradients or weights is cut like the shares beside it.
  const Residence here = ops_.residence(unit);
  const nn::Unit& flat = ops_.unit(unit);
  if (!tail && here.optimizer_divided) {
    bounds.insert({0, flat.share()});
    part = Part::share;
  }
  for (std::int32_t m = 0; m < options_.moments; ++m) add(Purpose::moments, m);
  add(Purpose::masters, 0);
  if (tail || here.gradients_divided || !here.optimizer_divided) add(Purpose::gradients, 0);
  if (tail || here.weights_divided || !here.optimizer_divided) add(Purpose::weights, 0);
  std::vector<SubGroup> made;
  std::int64_t begin = -1;
  for (const std::int64_t end : bounds) {
    if (begin >= 0)
      for (const Range piece : ops_.pieces(unit, Part::body, {begin, end},
                                           away ? options_.zero.sub_group_size : end - begin))
        made.push_back({stage, unit, part, piece});
    begin = end;
  }
  return made;
}

std::vector<SubGroup> Update::sub_groups(std::int32_t stage, std::int32_t unit) const {
  std::vector<SubGroup> all = cut(stage, unit, false);
  for (const SubGroup& tail : cut(stage, unit, true)) all.push_back(tail);
  return all;
}

/// The buffer of this purpose that holds the sub-group: of its own part, or the body around a
/// share.
BufferId Update::home(const SubGroup& group, Purpose purpose, std::int32_t number) const {
  for (const BufferId id :
       resident_.homes_of(group.stage, group.unit, purpose, group.part == Part::tail, number)) {
    const Buffer& buffer = resident_.at(id);
    if (buffer.part != group.part) return id;
    if (buffer.elements.begin <= group.elements.begin && group.elements.end <= buffer.elements.end)
      return id;
  }
  fail(Exit::kUnexpected, "stage {} has no {} of unit {}", group.stage, name_of(purpose),
       group.unit);
}

/// The home itself where compute reaches it; otherwise a copy, fetched and stored as needed.
BufferId Update::here(const SubGroup& group, BufferId home, Access access, Phases& phases) {
  const Buffer buffer = resident_.at(home);
  if (buffer.tier != Tier::nvme) return home;
  const BufferId copy =
      ops_.copy_of(home, Purpose::staging, Tier::host, group.part, group.elements);
  if (access != Access::write) {
    ops_.emit_into(phases.fetch);
    ops_.move(Kind::fetch, group.stage, group.unit, home, copy, group.part, group.elements, when_);
  }
  if (access != Access::read) {
    ops_.emit_into(phases.store);
    ops_.move(Kind::store, group.stage, group.unit, copy, home, group.part, group.elements, when_);
  }
  return copy;
}

/// Where an update writes weights. Whole weights on storage, of which this rank updates a share,
/// are made whole in a buffer of their own first.
BufferId Update::weights(const SubGroup& group, Phases& phases) {
  const BufferId to = home(group, Purpose::weights);
  const Buffer buffer = resident_.at(to);
  const bool share_of_whole = group.part == Part::share && buffer.part == Part::body;
  if (!share_of_whole || buffer.tier != Tier::nvme)
    return here(group, to, masters_apart(group) ? Access::write : Access::both, phases);
  const auto [at, added] = whole_.try_emplace({group.stage, group.unit}, -1);
  if (added)
    at->second = ops_.copy_of(to, Purpose::staging, Tier::host, Part::body, buffer.elements);
  if (!masters_apart(group)) {
    ops_.emit_into(phases.fetch);
    ops_.move(Kind::fetch, group.stage, group.unit, to, at->second, group.part, group.elements,
              when_);
  }
  return at->second;
}

/// Once a unit's sub-groups are done: shares of whole weights are gathered, and stored if they live
/// away.
void Update::weights_back(std::int32_t stage, std::int32_t unit, Phases& phases) {
  const Residence here = ops_.residence(unit);
  const auto homes = resident_.homes_of(stage, unit, Purpose::weights, false);
  if (!here.optimizer_divided || here.weights_divided || homes.empty()) return;
  const auto whole = whole_.find({stage, unit});
  const BufferId gathered = whole == whole_.end() ? homes[0] : whole->second;
  ops_.emit_into(phases.behind);
  ops_.all_gather(stage, unit, gathered, gathered, when_, options_.zero.allgather_bucket_size);
  if (gathered != homes[0])
    ops_.move(Kind::store, stage, unit, gathered, homes[0], Part::body,
              resident_.at(homes[0]).elements, when_);
}

Phases Update::update(const SubGroup& group, std::optional<BufferId> norms) {
  Phases phases;
  Instruction made = ops_.on_unit(Kind::update, Lane::compute, group.stage, group.unit, group.part,
                                  group.elements);
  made.when = when_;
  made.reads = {resident_.scalars(group.stage),
                here(group, home(group, Purpose::gradients), Access::read, phases)};
  if (norms) made.reads.push_back(*norms);
  made.writes = {weights(group, phases)};
  const bool apart = masters_apart(group);
  if (apart)
    made.writes.push_back(here(group, home(group, Purpose::masters), Access::both, phases));
  for (std::int32_t m = 0; m < options_.moments; ++m) {
    // LAMB's moments were written with the norms.
    const BufferId moment =
        here(group, home(group, Purpose::moments, m), norms ? Access::read : Access::both, phases);
    (norms ? made.reads : made.writes).push_back(moment);
  }
  made.bytes = group.elements.size() * (kFloat + 2 * kFloat + 2 * kFloat * options_.moments +
                                        (apart ? ops_.weight_size() : 0));
  phases.work.push_back(std::move(made));
  return phases;
}

Phases Update::round(const SubGroup& group) {
  Phases phases;
  if (!masters_apart(group)) return phases;
  Instruction made =
      ops_.on_unit(Kind::round, Lane::compute, group.stage, group.unit, group.part, group.elements);
  made.when = when_;
  made.reads = {here(group, home(group, Purpose::masters), Access::read, phases)};
  made.writes = {weights(group, phases)};
  made.bytes = group.elements.size() * (kFloat + ops_.weight_size());
  phases.work.push_back(std::move(made));
  return phases;
}

Phases Update::trust(const SubGroup& group, BufferId norms, bool first) {
  Phases phases;
  Instruction made =
      ops_.on_unit(Kind::trust, Lane::compute, group.stage, group.unit, group.part, group.elements);
  made.when = when_;
  made.accumulate = first ? 0 : 1;
  made.reads = {resident_.scalars(group.stage),
                here(group, home(group, Purpose::gradients), Access::read, phases),
                here(group, home(group, resident_.master_purpose(group.stage, group.unit)),
                     Access::read, phases)};
  if (!first) made.reads.push_back(norms);
  made.writes = {norms};
  for (std::int32_t m = 0; m < options_.moments; ++m)
    made.writes.push_back(here(group, home(group, Purpose::moments, m), Access::both, phases));
  made.bytes = group.elements.size() * kFloat * (2 + 2 * options_.moments);
  phases.work.push_back(std::move(made));
  return phases;
}

/// LAMB: the norms of a unit's tensors over all of its sub-groups and ranks, then its updates.
void Update::tensor_norms(std::int32_t stage, std::int32_t unit, std::vector<Phases>& list) {
  const auto groups = sub_groups(stage, unit);
  const std::int64_t bytes =
      static_cast<std::int64_t>(ops_.unit(unit).parameters.size()) * kTensorNormBytes;
  const BufferId norms = ops_.scratch(stage, unit, bytes);
  for (const SubGroup& group : groups) list.push_back(trust(group, norms, &group == groups.data()));
  const auto sum = [&](Group over) {
    Instruction made = ops_.on_unit(Kind::all_reduce, Lane::comm, stage, unit);
    made.when = when_;
    made.group = over;
    made.reads = made.writes = {norms};
    made.bytes = bytes;
    list.back().behind.push_back(std::move(made));
  };
  if (ops_.model().placement.tensor > 1) sum(Group::tensor);
  if (ops_.residence(unit).optimizer_divided) sum(Group::shard);
  for (const SubGroup& group : groups) list.push_back(update(group, norms));
}

/// Emits fetches so many sub-groups ahead of the work as there are buffers besides the one at work.
/// Where reads or writes are not pipelined, the next piece of work waits for them.
void Update::interleave(std::vector<Phases> list) {
  const deck::OffloadOptimizerConfig& offload = options_.zero.offload_optimizer;
  const std::size_t ahead =
      offload.pipeline_read
          ? static_cast<std::size_t>(std::max<std::int64_t>(1, offload.buffer_count) - 1)
          : 0;
  // A fetch may not pass the store of what it reads (LAMB visits its moments twice).
  const auto passes_a_store = [&](std::size_t from, std::size_t to) {
    for (const Instruction& fetch : list[to].fetch)
      for (std::size_t k = from; k < to; ++k)
        for (const Instruction& store : list[k].store)
          if (store.writes[0] == fetch.reads[0]) return true;
    return false;
  };
  const auto append = [&](std::vector<Instruction>& from) {
    std::move(from.begin(), from.end(), std::back_inserter(out_));
  };
  std::size_t fetched = 0;
  BufferId written = -1;
  for (std::size_t k = 0; k < list.size(); ++k) {
    for (; fetched < list.size() && fetched <= k + ahead; ++fetched) {
      if (fetched > k && passes_a_store(k, fetched)) break;
      append(list[fetched].fetch);
    }
    Phases& now = list[k];
    if (written >= 0 && !now.work.empty()) {
      now.work.front().reads.push_back(written);
      written = -1;
    }
    append(now.work);
    if (!now.store.empty() && !offload.pipeline_write) {
      const std::int32_t stage = now.store.back().stage;
      written = ops_.scratch(stage, -1, kFloat);
      now.store.back().writes.push_back(written);
    }
    append(now.store);
    append(now.behind);
  }
}

void Update::stage_updates(std::int32_t stage, Kind kind) {
  std::vector<Phases> list;
  for (const std::int32_t unit : units_of_stage(ops_.model(), layout_, stage)) {
    if (kind == Kind::update && options_.tensor_norms) {
      tensor_norms(stage, unit, list);
    } else {
      for (const SubGroup& group : sub_groups(stage, unit))
        list.push_back(kind == Kind::update ? update(group, {}) : round(group));
    }
    if (list.empty()) list.emplace_back();
    weights_back(stage, unit, list.back());
  }
  interleave(std::move(list));
}

/// Squared norms of what memory holds; what left for storage was counted on its way.
void Update::norms(std::int32_t stage) {
  for (const std::int32_t unit : units_of_stage(ops_.model(), layout_, stage))
    for (const BufferId id : resident_.homes(stage, unit, Purpose::gradients)) {
      const Buffer& buffer = resident_.at(id);
      if (buffer.tier == Tier::nvme) continue;
      const bool share = buffer.part == Part::body && ops_.residence(unit).optimizer_divided;
      Instruction norm =
          ops_.on_unit(Kind::norm, Lane::compute, stage, unit, share ? Part::share : buffer.part,
                       share ? Range{0, ops_.unit(unit).share()} : buffer.elements);
      norm.reads = {id};
      norm.writes = {resident_.scalars(stage)};
      norm.bytes = norm.elements.size() * kFloat;
      out_.push_back(std::move(norm));
    }
}

void Update::agree() {
  const std::int32_t event = grid_.events++;
  for (std::int32_t s = 0; s < layout_.stages; ++s) {
    Instruction agree = ops_.on_unit(Kind::all_reduce, Lane::comm, s, -1);
    agree.group = Group::world;
    agree.event = event;
    agree.reads = agree.writes = {resident_.scalars(s)};
    agree.bytes = resident_.at(resident_.scalars(s)).bytes;
    out_.push_back(std::move(agree));
  }
}

GridProgram Update::run() {
  out_ = std::move(grid_.order);
  const bool training = !options_.shape.forward_only;
  for (std::int32_t s = 0; training && s < layout_.stages; ++s) norms(s);
  agree();
  for (std::int32_t s = 0; training && s < layout_.stages; ++s) {
    Instruction decide = ops_.on_unit(Kind::decide, Lane::compute, s, -1);
    decide.reads = decide.writes = {resident_.scalars(s)};
    out_.push_back(std::move(decide));
    stage_updates(s, Kind::update);
  }
  grid_.order = std::move(out_);
  return std::move(grid_);
}

GridProgram Update::refresh() {
  when_ = When::always;
  grid_.stages = layout_.stages;
  grid_.buffers = resident_.buffers();
  for (std::int32_t s = 0; s < layout_.stages; ++s) stage_updates(s, Kind::round);
  agree();
  grid_.order = std::move(out_);
  return std::move(grid_);
}

}  // namespace

GridProgram update_pass(GridProgram grid, const models::Model& model, const Layout& layout,
                        const Options& options, const ResidentTable& resident) {
  return Update(std::move(grid), model, layout, options, resident).run();
}

GridProgram refresh_program(const models::Model& model, const Layout& layout,
                            const Options& options, const ResidentTable& resident) {
  return Update({}, model, layout, options, resident).refresh();
}

}  // namespace trireme::program
