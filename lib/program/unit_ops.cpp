#include "lib/program/unit_ops.hpp"

#include <algorithm>

namespace trireme::program {

Instruction UnitOps::on_unit(Kind kind, Lane lane, std::int32_t stage, std::int32_t unit, Part part,
                             Range elements) const {
  Instruction made;
  made.kind = kind;
  made.lane = lane;
  made.stage = stage;
  made.unit = unit;
  made.part = part;
  made.elements = elements;
  return made;
}

BufferId UnitOps::copy_of(BufferId home, Purpose purpose, Tier tier, Part part, Range elements,
                          std::int32_t micro) {
  Buffer copy = buffer(home);
  const std::int64_t size =
      copy.content == Purpose::weights ? weight_size() : std::int64_t{sizeof(float)};
  copy.bytes = size * elements.size();
  copy.offset = -1;
  copy.lifetime = Lifetime::step;
  copy.micro = micro;
  copy.purpose = purpose;
  copy.tier = tier;
  copy.part = part;
  copy.elements = elements;
  grid_.buffers.push_back(copy);
  return static_cast<BufferId>(grid_.buffers.size() - 1);
}

BufferId UnitOps::live_gradient(std::int32_t stage, std::int32_t unit) const {
  for (std::size_t id = 0; id < grid_.buffers.size(); ++id) {
    const Buffer& buffer = grid_.buffers[id];
    if (buffer.purpose == Purpose::live_gradients && buffer.stage == stage && buffer.owner == unit)
      return static_cast<BufferId>(id);
  }
  fail(Exit::kUnexpected, "stage {} makes no gradient of unit {}", stage, unit);
}

BufferId UnitOps::scratch(std::int32_t stage, std::int32_t unit, std::int64_t bytes) {
  Buffer buffer;
  buffer.stage = stage;
  buffer.owner = unit;
  buffer.purpose = buffer.content = Purpose::optimizer;
  buffer.bytes = bytes;
  grid_.buffers.push_back(buffer);
  return static_cast<BufferId>(grid_.buffers.size() - 1);
}

std::int64_t UnitOps::bytes_of(BufferId id, Range elements) const {
  const Buffer& of = buffer(id);
  return of.bytes / of.elements.size() * elements.size();
}

std::vector<Range> UnitOps::pieces(std::int32_t u, Part part, Range elements,
                                   std::int64_t largest) const {
  const std::int64_t unit_step =
      std::max(nn::kParameterAlignment, model_.placement.sharding.alignment);
  const std::int64_t step = std::max(unit_step, largest / unit_step * unit_step);
  std::vector<Range> made;
  for (std::int64_t begin = elements.begin; begin < elements.end;) {
    std::int64_t end = std::min(elements.end, begin + step);
    if (part == Part::share) end = std::min(end, round_up(begin + 1, unit(u).chunk));
    made.push_back({begin, end});
    begin = end;
  }
  return made;
}

void UnitOps::all_reduce(std::int32_t stage, std::int32_t u, Group group, BufferId id, Part part,
                         Range elements) {
  // Chunks of a share lie apart in the body.
  const Part cut = buffer(id).part == Part::body ? part : Part::body;
  for (const Range piece : pieces(u, cut, elements, zero().reduce_bucket_size)) {
    Instruction made = on_unit(Kind::all_reduce, Lane::comm, stage, u, part, piece);
    made.group = group;
    made.reads = made.writes = {id};
    made.bytes = bytes_of(id, piece);
    emit(std::move(made));
  }
}

void UnitOps::reduce_scatter(std::int32_t stage, std::int32_t u, BufferId whole, BufferId share) {
  const nn::Unit& flat = unit(u);
  for (const Range piece :
       pieces(u, Part::share, {0, flat.share()}, zero().reduce_bucket_size / flat.ranks)) {
    Instruction made = on_unit(Kind::reduce_scatter, Lane::comm, stage, u, Part::share, piece);
    made.group = Group::shard;
    made.reads = {whole};
    made.writes = {share};
    made.bytes = bytes_of(whole, piece) * flat.ranks;
    emit(std::move(made));
  }
}

void UnitOps::all_gather(std::int32_t stage, std::int32_t u, BufferId share, BufferId whole,
                         When when, std::int64_t bucket) {
  const nn::Unit& flat = unit(u);
  const bool broadcasts = !zero().allgather_partitions && share == whole;
  for (const Range piece : pieces(u, Part::share, {0, flat.share()}, bucket / flat.ranks))
    for (std::int64_t root = 0; root < (broadcasts ? flat.ranks : 1); ++root) {
      Instruction made = on_unit(broadcasts ? Kind::broadcast : Kind::all_gather, Lane::comm, stage,
                                 u, Part::share, piece);
      made.group = Group::shard;
      made.when = when;
      made.peer = broadcasts ? static_cast<std::int32_t>(root) : -1;
      made.reads = {share};
      if (when == When::applied) made.reads.push_back(resident_.scalars(stage));
      made.writes = {whole};
      made.bytes = bytes_of(whole, piece) * (broadcasts ? 1 : flat.ranks);
      emit(std::move(made));
    }
}

void UnitOps::move(Kind kind, std::int32_t stage, std::int32_t u, BufferId from, BufferId to,
                   Part part, Range elements, When when) {
  Instruction made = on_unit(kind, Lane::storage, stage, u, part, elements);
  // A fetch changes nothing that lasts: it need not wait for the decision to update.
  made.when = kind == Kind::fetch ? When::always : when;
  made.reads = {from};
  made.writes = {to};
  if (made.when == When::applied) made.reads.push_back(resident_.scalars(stage));
  made.bytes = bytes_of(from, elements);
  emit(std::move(made));
}

}  // namespace trireme::program
