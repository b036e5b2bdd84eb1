#include "lib/program/memory_plan.hpp"

#include "kernels/base/checked.hpp"

#include <algorithm>
#include <map>

namespace trireme::program {
namespace {

/// Free bytes of one stage's transient region, and who held them last.
class Region {
 public:
  explicit Region(std::int64_t begin) : end_(begin), used_(begin) {}

  std::int64_t take(std::int64_t bytes, std::int64_t alignment) {
    const auto lost = [&](std::int64_t offset) { return round_up(offset, alignment) - offset; };
    auto best = free_.end();
    for (auto at = free_.begin(); at != free_.end(); ++at)
      if (at->second >= bytes + lost(at->first) &&
          (best == free_.end() || at->second < best->second))
        best = at;
    if (best == free_.end()) return grow(bytes, alignment);
    const auto [begin, size] = *best;
    free_.erase(best);
    const std::int64_t offset = round_up(begin, alignment);
    if (offset > begin) free_.emplace(begin, offset - begin);
    if (begin + size > offset + bytes) free_.emplace(offset + bytes, begin + size - offset - bytes);
    return offset;
  }

  void give(std::int64_t offset, std::int64_t bytes) {
    const auto after = free_.lower_bound(offset);
    if (after != free_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == offset) {
        offset = before->first;
        bytes += before->second;
        free_.erase(before);
      }
    }
    if (after != free_.end() && offset + bytes == after->first) {
      bytes += after->second;
      free_.erase(after);
    }
    free_.emplace(offset, bytes);
  }

  /// Buffers that held any of these bytes before; from now on `owner` does.
  std::vector<BufferId> replace_owner(std::int64_t offset, std::int64_t bytes, BufferId owner) {
    std::vector<BufferId> former;
    const std::int64_t end = offset + bytes;
    auto at = owners_.lower_bound(offset);
    if (at != owners_.begin() && std::prev(at)->second.end > offset) --at;
    while (at != owners_.end() && at->first < end) {
      const auto [start, holder] = *at;
      former.push_back(holder.buffer);
      at = owners_.erase(at);
      if (start < offset) owners_.emplace(start, Holder{offset, holder.buffer});
      if (holder.end > end) owners_.emplace(end, Holder{holder.end, holder.buffer});
    }
    owners_.emplace(offset, Holder{end, owner});
    std::sort(former.begin(), former.end());
    former.erase(std::unique(former.begin(), former.end()), former.end());
    return former;
  }

  /// Notes the first byte behind what a buffer really uses; end() is the last of them.
  void use(std::int64_t end) { used_ = std::max(used_, end); }
  std::int64_t end() const { return used_; }

 private:
  struct Holder {
    std::int64_t end;
    BufferId buffer;
  };

  std::int64_t grow(std::int64_t bytes, std::int64_t alignment) {
    // A free piece at the very end is part of the growth.
    std::int64_t begin = end_;
    if (!free_.empty()) {
      const auto last = std::prev(free_.end());
      if (last->first + last->second == end_) {
        begin = last->first;
        free_.erase(last);
      }
    }
    const std::int64_t offset = round_up(begin, alignment);
    if (offset > begin) free_.emplace(begin, offset - begin);
    end_ = offset + bytes;
    return offset;
  }

  std::int64_t end_;
  std::int64_t used_;
  std::map<std::int64_t, std::int64_t> free_;  // offset -> bytes
  std::map<std::int64_t, Holder> owners_;      // offset -> end and last holder
};

/// Each accessed buffer once, though a step may read one under two names.
template <class Visit>
void for_each_buffer(const Instruction& instruction, Visit visit) {
  const auto& reads = instruction.reads;
  const auto& writes = instruction.writes;
  for (auto at = reads.begin(); at != reads.end(); ++at)
    if (std::find(reads.begin(), at, *at) == at) visit(*at);
  for (auto at = writes.begin(); at != writes.end(); ++at)
    if (std::find(reads.begin(), reads.end(), *at) == reads.end() &&
        std::find(writes.begin(), at, *at) == at)
      visit(*at);
}

}  // namespace

std::int64_t room_for(std::int64_t bytes, std::int64_t alignment) {
  constexpr std::int64_t kLarge = std::int64_t{4} << 20;
  constexpr std::int64_t kPage = 4096;
  constexpr std::int64_t kCycle = 32;  // pages
  constexpr std::int64_t kSkew = 17;
  if (bytes < kLarge) return round_up(bytes, alignment);
  const std::int64_t pages = divide_up(bytes, kPage);
  return (pages + (kSkew - pages % kCycle + kCycle) % kCycle) * kPage;
}

MemoryPlan plan_memory(GridProgram& grid,
                       const std::vector<std::array<std::int64_t, kTiers>>& resident_bytes) {
  MemoryPlan plan;
  plan.predecessors.resize(grid.buffers.size());
  for (const Buffer& buffer : grid.buffers) plan.undivided.push_back(buffer.part == Part::none);
  std::vector<std::size_t> last(grid.buffers.size(), 0);
  std::vector<bool> moves(grid.buffers.size(), false);  // storage reads or writes it
  for (std::size_t i = 0; i < grid.order.size(); ++i) {
    const Instruction& instruction = grid.order[i];
    const bool storage = instruction.kind == Kind::fetch || instruction.kind == Kind::store;
    for_each_buffer(instruction, [&](BufferId id) {
      last[static_cast<std::size_t>(id)] = i;
      if (storage) moves[static_cast<std::size_t>(id)] = true;
    });
    for (const BufferId id : instruction.holds) last[static_cast<std::size_t>(id)] = i;
  }

  std::vector<std::vector<Region>> regions;  // by stage and tier
  for (const auto& tiers : resident_bytes) {
    regions.emplace_back();
    for (const std::int64_t bytes : tiers) regions.back().emplace_back(bytes);
  }
  for (std::size_t i = 0; i < grid.order.size(); ++i) {
    const Instruction& instruction = grid.order[i];
    const auto region_of = [&](const Buffer& buffer) -> Region& {
      return regions[static_cast<std::size_t>(instruction.stage)]
                    [static_cast<std::size_t>(buffer.tier)];
    };
    const auto alignment = [&](BufferId id) {
      return moves[static_cast<std::size_t>(id)] ? kStorageAlignment : kBufferAlignment;
    };
    const auto size = [&](BufferId id) {
      return room_for(grid.buffers[static_cast<std::size_t>(id)].bytes, alignment(id));
    };
    const auto end = [&](BufferId id) {
      const Buffer& buffer = grid.buffers[static_cast<std::size_t>(id)];
      if (buffer.lifetime == Lifetime::step && last[static_cast<std::size_t>(id)] == i)
        region_of(buffer).give(buffer.offset, size(id));
    };
    for_each_buffer(instruction, [&](BufferId id) {
      Buffer& buffer = grid.buffers[static_cast<std::size_t>(id)];
      if (buffer.lifetime != Lifetime::step || buffer.offset >= 0) return;
      buffer.offset = region_of(buffer).take(size(id), alignment(id));
      region_of(buffer).use(buffer.offset + round_up(buffer.bytes, alignment(id)));
      plan.predecessors[static_cast<std::size_t>(id)] =
          region_of(buffer).replace_owner(buffer.offset, size(id), id);
    });
    for_each_buffer(instruction, end);
    for (const BufferId id : instruction.holds) end(id);
  }
  for (const std::vector<Region>& tiers : regions) {
    plan.bytes.emplace_back();
    for (std::size_t t = 0; t < kTiers; ++t) plan.bytes.back()[t] = tiers[t].end();
  }
  return plan;
}

namespace {

/// What an instruction touches of a buffer: all of it, or some elements of one part of a unit.
struct Touch {
  std::int32_t position = 0;
  Part part = Part::none;
  Range elements;
  bool writes = false;

  bool meets(const Touch& other) const {
    if (part == Part::none || part != other.part) return true;
    return elements.begin < other.elements.end && other.elements.begin < elements.end;
  }
  bool covers(const Touch& other) const {
    if (part == Part::none) return true;
    return part == other.part && elements.begin <= other.elements.begin &&
           other.elements.end <= elements.end;
  }
};

/// Touches of one buffer that later instructions may have to wait for.
struct Uses {
  std::vector<Touch> frontier;
  bool touched = false;

  void wait_for(const Touch& next, std::vector<std::int32_t>& waits) const {
    for (const Touch& former : frontier)
      if ((former.writes || next.writes) && former.meets(next)) waits.push_back(former.position);
  }
  void add(const Touch& next) {
    if (next.writes) std::erase_if(frontier, [&](const Touch& t) { return next.covers(t); });
    frontier.push_back(next);
    touched = true;
  }
};

}  // namespace

std::vector<std::vector<std::int32_t>> waits_of(const StageProgram& program,
                                                const MemoryPlan& plan) {
  std::vector<Uses> uses(plan.predecessors.size());
  const auto of = [&](BufferId id) -> Uses& { return uses[static_cast<std::size_t>(id)]; };
  std::vector<std::vector<std::int32_t>> all(program.instructions.size());
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& instruction = program.instructions[i];
    std::vector<std::int32_t>& waits = all[i];
    for_each_buffer(instruction, [&](BufferId id) {
      if (of(id).touched) return;
      for (const BufferId former : plan.predecessors[static_cast<std::size_t>(id)])
        for (const Touch& touch : of(former).frontier) waits.push_back(touch.position);
    });
    const auto touch = [&](BufferId id, bool writes) {
      const bool undivided = plan.undivided[static_cast<std::size_t>(id)];
      return Touch{static_cast<std::int32_t>(i), undivided ? Part::none : instruction.part,
                   instruction.elements, writes};
    };
    for (const BufferId id : instruction.reads) of(id).wait_for(touch(id, false), waits);
    for (const BufferId id : instruction.writes) of(id).wait_for(touch(id, true), waits);
    for (const BufferId id : instruction.writes) of(id).add(touch(id, true));
    for (const BufferId id : instruction.reads)
      if (std::find(instruction.writes.begin(), instruction.writes.end(), id) ==
          instruction.writes.end())
        of(id).add(touch(id, false));

    std::sort(waits.begin(), waits.end());
    waits.erase(std::unique(waits.begin(), waits.end()), waits.end());
    if (instruction.lane == Lane::compute)
      std::erase_if(waits, [&](std::int32_t w) {
        return program.instructions[static_cast<std::size_t>(w)].lane == Lane::compute;
      });
  }
  return all;
}

void derive_waits(StageProgram& program, const MemoryPlan& plan) {
  auto waits = waits_of(program, plan);
  for (std::size_t i = 0; i < waits.size(); ++i)
    program.instructions[i].waits = std::move(waits[i]);
}

}  // namespace trireme::program
