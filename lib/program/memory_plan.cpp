#include "lib/program/memory_plan.hpp"

#include "kernels/base/checked.hpp"

#include <algorithm>
#include <map>

namespace trireme::program {
namespace {

/// Free bytes of one stage's transient region, and who held them last.
class Region {
 public:
  explicit Region(std::int64_t begin) : begin_(begin), end_(begin) {}

  std::int64_t take(std::int64_t bytes) {
    auto best = free_.end();
    for (auto at = free_.begin(); at != free_.end(); ++at)
      if (at->second >= bytes && (best == free_.end() || at->second < best->second)) best = at;
    if (best == free_.end()) return grow(bytes);
    const auto [offset, size] = *best;
    free_.erase(best);
    if (size > bytes) free_.emplace(offset + bytes, size - bytes);
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

  std::int64_t end() const { return end_; }

 private:
  struct Holder {
    std::int64_t end;
    BufferId buffer;
  };

  std::int64_t grow(std::int64_t bytes) {
    // A free piece at the very end is part of the growth.
    std::int64_t offset = end_;
    if (!free_.empty()) {
      const auto last = std::prev(free_.end());
      if (last->first + last->second == end_) {
        offset = last->first;
        free_.erase(last);
      }
    }
    end_ = offset + bytes;
    return offset;
  }

  std::int64_t begin_;
  std::int64_t end_;
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

MemoryPlan plan_memory(GridProgram& grid, const std::vector<std::int64_t>& resident_bytes) {
  MemoryPlan plan;
  plan.predecessors.resize(grid.buffers.size());
  std::vector<std::size_t> last(grid.buffers.size(), 0);
  for (std::size_t i = 0; i < grid.order.size(); ++i)
    for_each_buffer(grid.order[i], [&](BufferId id) { last[static_cast<std::size_t>(id)] = i; });

  std::vector<Region> regions;
  for (const std::int64_t bytes : resident_bytes) regions.emplace_back(bytes);
  for (std::size_t i = 0; i < grid.order.size(); ++i) {
    const Instruction& instruction = grid.order[i];
    Region& region = regions[static_cast<std::size_t>(instruction.stage)];
    const auto size = [&](const Buffer& buffer) {
      return round_up(buffer.bytes, kBufferAlignment);
    };
    for_each_buffer(instruction, [&](BufferId id) {
      Buffer& buffer = grid.buffers[static_cast<std::size_t>(id)];
      if (buffer.lifetime != Lifetime::step || buffer.offset >= 0) return;
      buffer.offset = region.take(size(buffer));
      plan.predecessors[static_cast<std::size_t>(id)] =
          region.replace_owner(buffer.offset, size(buffer), id);
    });
    for_each_buffer(instruction, [&](BufferId id) {
      const Buffer& buffer = grid.buffers[static_cast<std::size_t>(id)];
      if (buffer.lifetime == Lifetime::step && last[static_cast<std::size_t>(id)] == i)
        region.give(buffer.offset, size(buffer));
    });
  }
  for (const Region& region : regions) plan.arena_bytes.push_back(region.end());
  return plan;
}

std::vector<std::vector<std::int32_t>> waits_of(const StageProgram& program,
                                                const MemoryPlan& plan) {
  struct Uses {
    std::int32_t writer = -1;
    std::vector<std::int32_t> readers;  // since that writer
    bool touched = false;
  };
  std::vector<Uses> uses(plan.predecessors.size());
  std::vector<std::vector<std::int32_t>> all(program.instructions.size());
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& instruction = program.instructions[i];
    std::vector<std::int32_t>& waits = all[i];
    const auto after_last_users = [&](const Uses& of) {
      if (of.writer >= 0) waits.push_back(of.writer);
      waits.insert(waits.end(), of.readers.begin(), of.readers.end());
    };
    for_each_buffer(instruction, [&](BufferId id) {
      if (uses[static_cast<std::size_t>(id)].touched) return;
      for (const BufferId former : plan.predecessors[static_cast<std::size_t>(id)])
        after_last_users(uses[static_cast<std::size_t>(former)]);
    });
    for (const BufferId id : instruction.reads) {
      const Uses& of = uses[static_cast<std::size_t>(id)];
      if (of.writer >= 0) waits.push_back(of.writer);
    }
    for (const BufferId id : instruction.writes)
      after_last_users(uses[static_cast<std::size_t>(id)]);

    const auto position = static_cast<std::int32_t>(i);
    for (const BufferId id : instruction.reads) {
      uses[static_cast<std::size_t>(id)].readers.push_back(position);
      uses[static_cast<std::size_t>(id)].touched = true;
    }
    for (const BufferId id : instruction.writes)
      uses[static_cast<std::size_t>(id)] = {position, {}, true};

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
