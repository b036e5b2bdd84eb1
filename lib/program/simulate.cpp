#include "lib/program/simulate.hpp"

#include "lib/program/print.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace trireme::program {
namespace {

constexpr double kUnknown = -1;

/// Operations that need other stages: who takes part, and when each of them started.
struct Meeting {
  std::int32_t expected = 0;
  std::vector<std::pair<std::int32_t, std::int32_t>> arrived;  // stage, instruction
};

class Walk {
 public:
  Walk(const Compiled& compiled, const Rates& rates) : compiled_(compiled), rates_(rates) {
    for (const StageProgram& stage : compiled.stages) {
      result_.start.emplace_back(stage.instructions.size(), kUnknown);
      result_.end.emplace_back(stage.instructions.size(), kUnknown);
      std::array<std::vector<std::int32_t>, kLanes> lanes;
      for (std::size_t i = 0; i < stage.instructions.size(); ++i)
        lanes[static_cast<std::size_t>(stage.instructions[i].lane)].push_back(
            static_cast<std::int32_t>(i));
      lanes_.push_back(std::move(lanes));
      for (const Instruction& instruction : stage.instructions)
        if (instruction.event >= 0) ++meetings_[instruction.event].expected;
    }
    next_.resize(compiled.stages.size());
    lane_time_.resize(compiled.stages.size());
    storage_free_.resize(compiled.stages.size());
    over_links_.resize(compiled.stages.size(), -1);
  }

  Simulation run() {
    bool moved = true;
    while (moved) {
      moved = false;
      for (std::size_t s = 0; s < lanes_.size(); ++s)
        for (std::size_t lane = 0; lane < kLanes; ++lane)
          while (advance(s, lane)) moved = true;
    }
    finish();
    return std::move(result_);
  }

 private:
  const Instruction& at(std::size_t stage, std::int32_t index) const {
    return compiled_.stages[stage].instructions[static_cast<std::size_t>(index)];
  }

  /// Starts the lane's next instruction if its waits are met.
  bool advance(std::size_t stage, std::size_t lane) {
    auto& next = next_[stage][lane];
    if (next == lanes_[stage][lane].size()) return false;
    const std::int32_t index = lanes_[stage][lane][next];
    const Instruction& instruction = at(stage, index);
    double start = lane_time_[stage][lane];
    for (const std::int32_t wait : instruction.waits) {
      const double end = result_.end[stage][static_cast<std::size_t>(wait)];
      if (end == kUnknown) return false;
      start = std::max(start, end);
    }
    if (compiled_.over_links(instruction)) {  // the links' stream blocks until its newest is done
      std::int32_t& newest = over_links_[stage];
      const double free = newest < 0 ? 0.0 : result_.end[stage][static_cast<std::size_t>(newest)];
      if (free == kUnknown) return false;
      start = std::max(start, free);
      newest = index;
    }
    ++next;
    result_.start[stage][static_cast<std::size_t>(index)] = start;
    if (instruction.event >= 0) {
      meet(stage, index);
    } else {
      double& end = result_.end[stage][static_cast<std::size_t>(index)];
      end = start;
      double* free = nullptr;  // when the tier has moved all that was asked for before
      if (instruction.lane == Lane::storage) {
        free = &storage_free_[stage][static_cast<std::size_t>(tier_of(compiled_, instruction))];
        end = std::max(start, *free);
      }
      end += seconds_of(compiled_, instruction, rates_);
      if (free) *free = end;
    }
    // Compute and copies run one at a time; the other lanes only start in order.
    const bool in_turn = instruction.lane == Lane::compute || instruction.lane == Lane::copy_out ||
                         instruction.lane == Lane::copy_in;
    lane_time_[stage][lane] = in_turn ? result_.end[stage][static_cast<std::size_t>(index)] : start;
    return true;
  }

  void meet(std::size_t stage, std::int32_t index) {
    const Instruction& instruction = at(stage, index);
    if (!in_channel_order(stage, instruction)) return;
    Meeting& meeting = meetings_[instruction.event];
    meeting.arrived.emplace_back(static_cast<std::int32_t>(stage), index);
    const std::int32_t needed = instruction.kind == Kind::send || instruction.kind == Kind::receive
                                    ? 2
                                    : std::max(2, meeting.expected);
    const bool alone = needed == 2 && meeting.expected == 1 && instruction.group == Group::world &&
                       compiled_.stages.size() == 1;
    if (!alone && static_cast<std::int32_t>(meeting.arrived.size()) < needed) return;
    double begin = 0;
    for (const auto& [s, i] : meeting.arrived)
      begin =
          std::max(begin, result_.start[static_cast<std::size_t>(s)][static_cast<std::size_t>(i)]);
    for (const auto& [s, i] : meeting.arrived)
      result_.end[static_cast<std::size_t>(s)][static_cast<std::size_t>(i)] =
          begin + seconds_of(compiled_, instruction, rates_);
  }

  /// The k-th operation of a channel or group must be the same event on every side: both ends
  /// without tags would otherwise take each other's data. The first side to come decides; a
  /// mismatch never completes.
  bool in_channel_order(std::size_t stage, const Instruction& instruction) {
    std::array<std::int32_t, 3> channel{static_cast<std::int32_t>(instruction.group), -1, -1};
    std::int32_t side = static_cast<std::int32_t>(stage);
    if (instruction.kind == Kind::send) channel = {-1, instruction.stage, instruction.peer};
    if (instruction.kind == Kind::receive) channel = {-1, instruction.peer, instruction.stage};
    auto& events = channels_[channel];
    auto& position = positions_[{channel, side}];
    if (position == events.size()) events.push_back(instruction.event);
    const bool same = events[position] == instruction.event;
    ++position;
    if (!same && mismatch_.empty())
      mismatch_ = fmt::format("stage {}: {} meets event {} of its peer", stage,
                              describe(compiled_, instruction), events[position - 1]);
    return same;
  }

  void finish() {
    double first = std::numeric_limits<double>::infinity();
    double last = 0;
    double busy = 0;
    for (std::size_t s = 0; s < lanes_.size(); ++s)
      for (std::size_t i = 0; i < result_.end[s].size(); ++i) {
        const double end = result_.end[s][i];
        const Instruction& instruction = at(s, static_cast<std::int32_t>(i));
        if (end == kUnknown) {
          if (result_.stuck.empty())
            result_.stuck = mismatch_.empty() ? fmt::format("stage {}: {} never completes", s,
                                                            describe(compiled_, instruction))
                                              : mismatch_;
          continue;
        }
        result_.seconds = std::max(result_.seconds, end);
        if (instruction.kind != Kind::segment) continue;
        first = std::min(first, result_.start[s][i]);
        last = std::max(last, end);
        busy += end - result_.start[s][i];
      }
    const double span = (last - first) * static_cast<double>(lanes_.size());
    if (span > 0) result_.bubble = std::max(0.0, 1 - busy / span);  // never -0.0 by rounding
  }

  const Compiled& compiled_;
  const Rates& rates_;
  Simulation result_;
  std::vector<std::array<std::vector<std::int32_t>, kLanes>> lanes_;
  std::vector<std::array<std::size_t, kLanes>> next_;
  std::vector<std::array<double, kLanes>> lane_time_;
  std::vector<std::array<double, kTiers>> storage_free_;
  std::vector<std::int32_t> over_links_;  // by stage: the newest instruction in the links' stream
  std::map<std::int32_t, Meeting> meetings_;
  std::map<std::array<std::int32_t, 3>, std::vector<std::int32_t>> channels_;
  std::map<std::pair<std::array<std::int32_t, 3>, std::int32_t>, std::size_t> positions_;
  std::string mismatch_;
};

}  // namespace

Tier tier_of(const Compiled& compiled, const Instruction& instruction) {
  if (instruction.kind == Kind::load) return Tier::nvme;
  Tier slowest = Tier::host;
  for (const auto* ids : {&instruction.reads, &instruction.writes})
    if (!ids->empty())
      slowest = std::max(slowest, compiled.buffers[static_cast<std::size_t>(ids->front())].tier);
  return slowest;
}

double seconds_of(const Compiled& compiled, const Instruction& instruction, const Rates& rates) {
  const auto bytes = static_cast<double>(instruction.bytes);
  switch (instruction.lane) {
    case Lane::compute:
      return std::max(instruction.flops / rates.flops_per_second,
                      bytes / rates.memory_bytes_per_second);
    case Lane::comm: return rates.link_latency + bytes / rates.link_bytes_per_second;
    case Lane::storage:
    case Lane::copy_out:
    case Lane::copy_in:
      return bytes / (tier_of(compiled, instruction) == Tier::nvme ? rates.storage_bytes_per_second
                                                                   : rates.host_bytes_per_second);
  }
  return 0;
}

Simulation simulate(const Compiled& compiled, const Rates& rates) {
  return Walk(compiled, rates).run();
}

}  // namespace trireme::program
