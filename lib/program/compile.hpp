#pragma once
// The chain of passes that makes a step program. Each is a pure function from grid program to grid
// program, of inputs that all ranks agree on. A new concern (ZeRO, offload, look-ahead) is a new
// pass in this chain.
//
//     schedule -> recompute -> reduce and update -> memory plan -> waits

#include "lib/models/model.hpp"
#include "lib/program/instruction.hpp"
#include "lib/program/memory_plan.hpp"
#include "lib/program/schedule.hpp"

#include <cstdint>
#include <vector>

namespace trireme::program {

struct Options {
  ScheduleShape shape;
  std::int64_t data = 1;                       ///< ranks of the data group
  std::vector<std::int32_t> layers_per_chunk;  ///< empty: balanced by flops
  bool recompute = false;     ///< drop and rebuild the activations of all blocks but the last
  int moments = 2;            ///< f32 buffers of optimizer state for each unit
  bool tensor_norms = false;  ///< LAMB: updates need the norms of each tensor first
};

/// Which blocks and units live where: everything the passes ask about the model besides the plans.
struct Layout {
  std::vector<std::int32_t> chunk_begin;  ///< first block of chunk c; chunks + 1 entries
  std::int32_t stages = 1;

  std::int32_t chunks() const { return static_cast<std::int32_t>(chunk_begin.size()) - 1; }
  std::int32_t chunk_of(std::int32_t block) const;
  std::int32_t stage_of_chunk(std::int32_t chunk) const { return chunk % stages; }
  std::int32_t stage_of_block(std::int32_t block) const { return stage_of_chunk(chunk_of(block)); }
};

Layout make_layout(const models::Model& model, const Options& options);

/// Units with a replica on `stage`, ascending.
std::vector<std::int32_t> units_of_stage(const models::Model& model, const Layout& layout,
                                         std::int32_t stage);

/// Model state of all stages, by stage then unit then purpose: the same ids and offsets in every
/// program.
class ResidentTable {
 public:
  ResidentTable(const models::Model& model, const Layout& layout, const Options& options);

  const std::vector<Buffer>& buffers() const { return buffers_; }
  BufferId find(std::int32_t stage, std::int32_t unit, Purpose purpose,
                std::int32_t number = 0) const;
  /// The stage's scalars: f64 [kScalars + units of the model], see engine.
  BufferId scalars(std::int32_t stage) const { return find(stage, -1, Purpose::scalars); }
  /// First byte behind the resident region of a stage.
  std::int64_t bytes(std::int32_t stage) const { return end_[static_cast<std::size_t>(stage)]; }

 private:
  std::vector<Buffer> buffers_;
  std::vector<std::int64_t> end_;
};

/// f64 elements at the start of the scalars buffer; one partial norm for each unit follows.
inline constexpr std::int64_t kScalars = 16;

// ---- the passes, in order
// -----------------------------------------------------------------------------
/// Loads, segments, tensor-parallel collectives, transfers between stages.
GridProgram schedule_pass(const models::Model& model, const Layout& layout, const Options& options,
                          const ResidentTable& resident);
/// Replays a block's forward before its backward instead of keeping what it saved.
GridProgram recompute_pass(GridProgram grid, const models::Model& model);
/// Gradient sums over tensor, data and tied groups, norm, agreement of the world, updates.
GridProgram reduce_update_pass(GridProgram grid, const models::Model& model, const Layout& layout,
                               const Options& options, const ResidentTable& resident);

/// A program ready to run or simulate: memory planned, waits derived.
struct Compiled {
  std::vector<StageProgram> stages;
  std::vector<Buffer> buffers;
  MemoryPlan memory;
};

/// A training step, or with options.shape.forward_only an evaluation step.
Compiled compile(const models::Model& model, const Layout& layout, const Options& options,
                 const ResidentTable& resident);

/// XXH3-64 of everything in a stage's program that ranks must agree on.
std::uint64_t fingerprint(const Compiled& compiled, std::int32_t stage);

}  // namespace trireme::program
