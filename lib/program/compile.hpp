#pragma once
// The chain of passes that makes a step program. Each is a pure function from grid program to grid
// program, of inputs that all ranks agree on. A new concern is a new pass in this chain.
//
//     schedule -> recompute -> activations -> weights -> gradients -> update -> device -> memory
//     plan -> waits
//
// Weights, gradients and update know ZeRO's stages and the tiers only through where state lives
// (ResidentTable): what is not whole on the device is brought in before its use, as early as the
// deck's budgets let it.

#include "lib/models/model.hpp"
#include "lib/program/instruction.hpp"
#include "lib/program/memory_plan.hpp"
#include "lib/program/residence.hpp"
#include "lib/program/schedule.hpp"

#include <cstdint>
#include <vector>

namespace trireme::program {

struct Options {
  ScheduleShape shape;
  std::int64_t data = 1;                       ///< ranks of the data group
  std::vector<std::int32_t> layers_per_chunk;  ///< empty: balanced by flops
  bool recompute = false;  ///< drop and rebuild the activations of all blocks but the last
  /// Where a block's input waits for its recomputation, and whether the ranks of the tensor group
  /// divide it, which needs each of them to hold all of it: not with sequence parallelism.
  Tier activation_tier = Tier::device;
  bool divide_activations = false;
  int moments = 2;            ///< f32 buffers of optimizer state for each unit
  bool tensor_norms = false;  ///< LAMB: updates need the norms of each tensor first
  deck::ZeroConfig zero;
  /// Device memory is not the host's (a GPU): the host reaches it by copies alone.
  bool device_apart = false;
  /// GPUs reach each other's memory, each rank one of its own: communication between device buffers
  /// needs no host. One stream runs it, in order and one at a time.
  bool device_links = false;
};

/// Device memory in which reductions over links add up what comes from other members, at most.
inline constexpr std::int64_t kLinkStaging = std::int64_t{32} << 20;

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

/// Units with a replica on `stage`, ascending; of these, those that are trained.
std::vector<std::int32_t> units_of_stage(const models::Model& model, const Layout& layout,
                                         std::int32_t stage);
std::vector<std::int32_t> trained_units_of_stage(const models::Model& model, const Layout& layout,
                                                 std::int32_t stage);

// ---- the passes, in order
// -----------------------------------------------------------------------------
/// Loads, segments, tensor-parallel collectives, transfers between stages.
GridProgram schedule_pass(const models::Model& model, const Layout& layout, const Options& options,
                          const ResidentTable& resident);
/// Replays a block's forward before its backward instead of keeping what it saved.
GridProgram recompute_pass(GridProgram grid, const models::Model& model);
/// Between forward and recomputation a block's input waits on the tier that the options name, or
/// divided over the tensor group, or both (Rajbhandari et al., arXiv 1910.02054, section 6.1).
GridProgram activations_pass(GridProgram grid, const models::Model& model, const Options& options);
/// Weights that are divided or away are gathered and fetched before each use (ZeRO stage 3,
/// parameter offload).
GridProgram weights_pass(GridProgram grid, const models::Model& model, const Options& options,
                         const ResidentTable& resident);
/// Gradient sums over tensor, data and tied groups, and their way to where they stay.
GridProgram gradients_pass(GridProgram grid, const models::Model& model, const Layout& layout,
                           const Options& options, const ResidentTable& resident);
/// Norm, agreement of the world, updates, and the weights' way back.
GridProgram update_pass(GridProgram grid, const models::Model& model, const Layout& layout,
                        const Options& options, const ResidentTable& resident);

/// Whether the host does this, not the device: communication, loads, decisions, and what works on
/// model state of which some lives on the host. Of transfers between tiers nothing is said.
bool on_host(const std::vector<Buffer>& buffers, const Instruction& instruction);

/// Whether communication is between device buffers alone and none of the world's; where there are
/// links, these need no host.
bool between_devices(const std::vector<Buffer>& buffers, const Instruction& instruction);

/// Where the options say so, the host's work on device memory becomes work on host copies, and
/// fetches and stores of the two copy lanes around it.
GridProgram device_pass(GridProgram grid, const models::Model& model, const Options& options,
                        const ResidentTable& resident);

/// All weights from their masters.
GridProgram refresh_program(const models::Model& model, const Layout& layout,
                            const Options& options, const ResidentTable& resident);

/// A program ready to run or simulate: memory planned, waits derived.
struct Compiled {
  std::vector<StageProgram> stages;
  std::vector<Buffer> buffers;
  MemoryPlan memory;
  bool device_links = false;  ///< as Options has it

  /// Whether this runs in the stream of the links.
  bool over_links(const Instruction& instruction) const {
    return device_links && between_devices(buffers, instruction);
  }
};

/// A training step, or with options.shape.forward_only an evaluation step.
Compiled compile(const models::Model& model, const Layout& layout, const Options& options,
                 const ResidentTable& resident);

/// Makes the weights from the masters: after these were initialised or read from a checkpoint.
Compiled compile_refresh(const models::Model& model, const Layout& layout, const Options& options,
                         const ResidentTable& resident);

/// XXH3-64 of everything in a stage's program that ranks must agree on.
std::uint64_t fingerprint(const Compiled& compiled, std::int32_t stage);

}  // namespace trireme::program
