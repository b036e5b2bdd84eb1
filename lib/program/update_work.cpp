#include "lib/program/update_work.hpp"

#include <set>

namespace trireme::program {
namespace {

/// Two f64 squared norms a tensor: of the weights and of the update.
constexpr std::int64_t kTensorNormBytes = 2 * std::int64_t{sizeof(double)};
constexpr std::int64_t kFloat = sizeof(float);

}  // namespace

/// Bounds of sub-groups: where homes end, and the deck's size where anything lives away.
std::vector<SubGroup> UpdateWork::cut(std::int32_t stage, std::int32_t unit, bool tail) const {
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

std::vector<SubGroup> UpdateWork::sub_groups(std::int32_t stage, std::int32_t unit) const {
  std::vector<SubGroup> all = cut(stage, unit, false);
  for (const SubGroup& tail : cut(stage, unit, true)) all.push_back(tail);
  return all;
}

/// The buffer of this purpose that holds the sub-group: of its own part, or the body around a
/// share.
BufferId UpdateWork::home(const SubGroup& group, Purpose purpose, std::int32_t number) const {
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
BufferId UpdateWork::here(const SubGroup& group, BufferId home, Access access, Phases& phases) {
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

/// Where a gradient is whose home is `home`: there, or where it was made if it is used up at once.
BufferId UpdateWork::gradient_at(BufferId home) const {
  const Buffer& buffer = resident_.at(home);
  if (buffer.bytes > 0) return home;
  return ops_.live_gradient(buffer.stage, buffer.owner);
}

BufferId UpdateWork::gradient(const SubGroup& group, Phases& phases) {
  const BufferId at = gradient_at(home(group, Purpose::gradients));
  return ops_.buffer(at).lifetime == Lifetime::step ? at : here(group, at, Access::read, phases);
}

/// Where an update writes weights. Whole weights on storage, of which this rank updates a share,
/// are made whole in a buffer of their own first.
BufferId UpdateWork::weights(const SubGroup& group, Phases& phases) {
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
void UpdateWork::weights_back(std::int32_t stage, std::int32_t unit, Phases& phases) {
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

Phases UpdateWork::update(const SubGroup& group, std::optional<BufferId> norms) {
  Phases phases;
  Instruction made = ops_.on_unit(Kind::update, Lane::compute, group.stage, group.unit, group.part,
                                  group.elements);
  made.when = when_;
  made.reads = {resident_.scalars(group.stage), gradient(group, phases)};
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

Phases UpdateWork::round(const SubGroup& group) {
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

Phases UpdateWork::trust(const SubGroup& group, BufferId norms, bool first) {
  Phases phases;
  Instruction made =
      ops_.on_unit(Kind::trust, Lane::compute, group.stage, group.unit, group.part, group.elements);
  made.when = when_;
  made.accumulate = first ? 0 : 1;
  made.reads = {resident_.scalars(group.stage), gradient(group, phases),
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
void UpdateWork::tensor_norms(std::int32_t stage, std::int32_t unit, std::vector<Phases>& list) {
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

std::vector<Phases> UpdateWork::of_unit(std::int32_t stage, std::int32_t unit, Kind kind) {
  std::vector<Phases> list;
  if (kind == Kind::update && options_.tensor_norms) {
    tensor_norms(stage, unit, list);
  } else {
    for (const SubGroup& group : sub_groups(stage, unit))
      list.push_back(kind == Kind::update ? update(group, {}) : round(group));
  }
  if (list.empty()) list.emplace_back();
  weights_back(stage, unit, list.back());
  return list;
}

std::vector<Instruction> UpdateWork::norms(std::int32_t stage, std::int32_t unit) const {
  std::vector<Instruction> made;
  for (const BufferId home : resident_.homes(stage, unit, Purpose::gradients)) {
    const BufferId id = gradient_at(home);
    const Buffer& buffer = ops_.buffer(id);
    if (buffer.tier == Tier::nvme) continue;
    const bool share = buffer.part == Part::body && ops_.residence(unit).optimizer_divided;
    Instruction norm =
        ops_.on_unit(Kind::norm, Lane::compute, stage, unit, share ? Part::share : buffer.part,
                     share ? Range{0, ops_.unit(unit).share()} : buffer.elements);
    norm.reads = {id};
    norm.writes = {resident_.scalars(stage)};
    norm.bytes = norm.elements.size() * kFloat;
    made.push_back(std::move(norm));
  }
  return made;
}

}  // namespace trireme::program
