#include "lib/program/costs.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace trireme::program {
namespace {

/// Elements of model state, of LAMB's norms and the world's agreement, or of an activation.
DType type_of(const models::Model& model, const Compiled& compiled, const Instruction& i) {
  const DType compute = model.placement.compute;
  if (i.group == Group::world || (i.unit >= 0 && i.part == Part::none)) return DType::f64;
  if (i.unit >= 0) {
    const Buffer& source = compiled.buffers[static_cast<std::size_t>(i.reads[0])];
    const bool wide = source.bytes / source.elements.size() == std::int64_t{sizeof(float)};
    return wide ? DType::f32 : compute;
  }
  if (i.step < 0) return compute;
  const nn::BlockPlan& plan = *model.blocks[static_cast<std::size_t>(i.block)].plan;
  const auto& steps = i.pass == Pass::backward ? plan.backward : plan.forward;
  const nn::Slot slot = steps[static_cast<std::size_t>(i.step)].reads[0];
  return plan.buffers[static_cast<std::size_t>(slot)].dtype;
}

using Interval = std::pair<double, double>;

/// Sorted and without overlap.
std::vector<Interval> merged(std::vector<Interval> intervals) {
  std::sort(intervals.begin(), intervals.end());
  std::vector<Interval> made;
  for (const auto& [begin, end] : intervals)
    if (!made.empty() && begin <= made.back().second)
      made.back().second = std::max(made.back().second, end);
    else
      made.emplace_back(begin, end);
  return made;
}

double length(const std::vector<Interval>& intervals) {
  double sum = 0;
  for (const auto& [begin, end] : intervals) sum += end - begin;
  return sum;
}

/// Length of what two merged lists have in common.
double overlap(const std::vector<Interval>& a, const std::vector<Interval>& b) {
  double sum = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    sum += std::max(0.0, std::min(a[i].second, b[j].second) - std::max(a[i].first, b[j].first));
    (a[i].second < b[j].second ? i : j) += 1;
  }
  return sum;
}

}  // namespace

std::int64_t members(Group group, const GroupSizes& sizes) {
  switch (group) {
    case Group::tensor: return sizes.tensor;
    case Group::data: return sizes.data;
    case Group::shard: return sizes.shard;
    case Group::replica: return sizes.replica;
    case Group::tied: return 2;
    case Group::world: return sizes.world;
    case Group::none: break;
  }
  return 1;
}

GroupSizes group_sizes(const models::Model& model, const Layout& layout, const Options& options) {
  GroupSizes sizes;
  sizes.tensor = model.placement.tensor;
  sizes.data = options.data;
  sizes.shard = model.placement.sharding.ranks;
  sizes.replica = options.data / sizes.shard;
  sizes.world = sizes.tensor * sizes.data * layout.stages;
  return sizes;
}

double payload_bytes(const Instruction& instruction, const GroupSizes& groups) {
  const auto bytes = static_cast<double>(instruction.bytes);
  const auto n = static_cast<double>(members(instruction.group, groups));
  switch (instruction.kind) {
    case Kind::all_reduce: return 2 * (n - 1) / n * bytes;
    case Kind::all_gather:
    case Kind::reduce_scatter:
    case Kind::broadcast: return (n - 1) / n * bytes;
    case Kind::send: return bytes;
    default: return 0;
  }
}

std::vector<Communication> communication_of(const models::Model& model, const Compiled& compiled,
                                            const GroupSizes& groups, std::int32_t stage) {
  std::map<std::tuple<Group, Kind, DType>, Communication> sums;
  for (const Instruction& i : compiled.stages[static_cast<std::size_t>(stage)].instructions) {
    if (i.lane != Lane::comm || i.kind == Kind::receive) continue;
    const DType type = type_of(model, compiled, i);
    Communication& sum = sums[{i.group, i.kind, type}];
    sum.kind = i.kind;
    sum.group = i.group;
    sum.type = type;
    sum.calls += 1;
    sum.payload += payload_bytes(i, groups);
  }
  std::vector<Communication> made;
  for (const auto& [key, sum] : sums) made.push_back(sum);
  return made;
}

StorageVolume storage_of(const Compiled& compiled, std::int32_t stage) {
  StorageVolume volume;
  for (const Instruction& i : compiled.stages[static_cast<std::size_t>(stage)].instructions) {
    if (i.kind == Kind::load) volume.tokens += i.bytes;
    if (i.kind != Kind::fetch && i.kind != Kind::store) continue;
    const auto tier = [&](BufferId id) {
      return compiled.buffers[static_cast<std::size_t>(id)].tier;
    };
    if (const Tier from = tier(i.reads[0]); from != Tier::device)
      volume.read[static_cast<std::size_t>(from)] += i.bytes;
    if (const Tier to = tier(i.writes[0]); to != Tier::device)
      volume.written[static_cast<std::size_t>(to)] += i.bytes;
  }
  return volume;
}

std::array<LaneTime, kLanes> lane_times(const Compiled& compiled, const Simulation& walk,
                                        const Rates& rates, std::int32_t stage) {
  const auto s = static_cast<std::size_t>(stage);
  const auto& list = compiled.stages[s].instructions;
  std::array<std::vector<Interval>, kLanes> lanes;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const double end = walk.end[s][i];
    const double begin = std::max(walk.start[s][i], end - seconds_of(compiled, list[i], rates));
    lanes[static_cast<std::size_t>(list[i].lane)].emplace_back(begin, end);
  }
  for (auto& lane : lanes) lane = merged(std::move(lane));
  std::array<LaneTime, kLanes> times;
  const auto& compute = lanes[static_cast<std::size_t>(Lane::compute)];
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    times[lane].busy = length(lanes[lane]);
    if (lane != static_cast<std::size_t>(Lane::compute))
      times[lane].exposed = times[lane].busy - overlap(lanes[lane], compute);
  }
  return times;
}

}  // namespace trireme::program
