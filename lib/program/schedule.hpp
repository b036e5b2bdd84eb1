#pragma once
// Pipeline schedules: which chunk of blocks a stage runs forward or backward, in which order. Pure
// data.

#include "lib/deck/deck.hpp"

#include <cstdint>
#include <vector>

namespace trireme::program {

using deck::Schedule;

/// One unit of a stage's work. Chunk c of stages * virtual_stages lies on stage c % stages.
struct Action {
  bool forward = true;
  std::int32_t chunk = 0;
  std::int32_t micro = 0;
};

struct ScheduleShape {
  Schedule schedule = Schedule::one_f_one_b;
  std::int32_t stages = 1;
  std::int32_t virtual_stages = 1;
  std::int32_t micro_batches = 1;
  bool forward_only = false;
};

/// Actions of one stage in its order.
/// GPipe: Huang et al., arXiv 1811.06965. 1F1B: Narayanan et al., arXiv 2006.15704
/// (PipeDream-Flush). Interleaved: Narayanan et al., arXiv 2104.04473, section 2.2; micro_batches
/// must be a multiple of stages. Throws Exit::kUsage for shapes without a schedule.
std::vector<Action> stage_actions(const ScheduleShape& shape, std::int32_t stage);

/// All stages' actions merged into one order in which every action comes after what it needs:
/// forward of the chunk before, backward of the chunk after. `forward_cost` and `backward_cost` (by
/// chunk, any unit) place actions of different stages beside each other as they would run.
std::vector<Action> linear_order(const ScheduleShape& shape,
                                 const std::vector<double>& forward_cost,
                                 const std::vector<double>& backward_cost);

/// First block of each chunk, plus the number of blocks: contiguous parts with the least largest
/// cost per stage for `costs` by block. With `layers_per_chunk` given, those counts (of blocks
/// between the first and the last, which belong to the first and last chunk) are used instead.
std::vector<std::int32_t> partition_blocks(const std::vector<double>& costs, std::int32_t chunks,
                                           const std::vector<std::int32_t>& layers_per_chunk = {});

}  // namespace trireme::program
