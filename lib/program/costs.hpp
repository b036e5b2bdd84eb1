#pragma once
// What a step moves and what it costs, by the program alone: bytes between ranks and between tiers,
// and busy and exposed time of each lane in a simulated step.

#include "lib/program/simulate.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace trireme::program {

/// Ranks in each group of the grid.
struct GroupSizes {
  std::int64_t tensor = 1;
  std::int64_t data = 1;
  std::int64_t shard = 1;    ///< that divide state
  std::int64_t replica = 1;  ///< that hold the same share
  std::int64_t world = 1;
};
GroupSizes group_sizes(const models::Model& model, const Layout& layout, const Options& options);
std::int64_t members(Group group, const GroupSizes& sizes);

/// Payload of an operation for a rank, as a mean over the n members of its group, with the fewest
/// bytes that any algorithm sends (Rabenseifner, ICCS 2004): all-reduce 2 (n-1)/n of the buffer,
/// all-gather, reduce-scatter and broadcast (n-1)/n; all of it for a send, nothing for a receive.
double payload_bytes(const Instruction& instruction, const GroupSizes& groups);

/// One operation on one group with one type of elements, summed over a step.
struct Communication {
  Kind kind = Kind::all_reduce;
  Group group = Group::none;  ///< none: between stages
  DType type = DType::f32;
  std::int64_t calls = 0;
  double payload = 0;  ///< bytes a rank
};
/// Of a rank of this stage, by group and operation.
std::vector<Communication> communication_of(const models::Model& model, const Compiled& compiled,
                                            const GroupSizes& groups, std::int32_t stage);

/// Bytes that storage instructions of one rank move in a step.
struct StorageVolume {
  std::int64_t tokens = 0;
  /// From and to the host and NVMe tier, by tier; host to NVMe counts for both.
  std::array<std::int64_t, kTiers> read{};
  std::array<std::int64_t, kTiers> written{};
};
StorageVolume storage_of(const Compiled& compiled, std::int32_t stage);

/// Seconds of one lane in a simulated step.
struct LaneTime {
  double busy = 0;     ///< with at least one instruction under way, waiting for peers not counted
  double exposed = 0;  ///< of these, without one on the compute lane; 0 of that lane itself
};
std::array<LaneTime, kLanes> lane_times(const Compiled& compiled, const Simulation& walk,
                                        const Rates& rates, std::int32_t stage);

}  // namespace trireme::program
