#pragma once
// The step program: instructions as plain data, over buffers, in one linear order for the whole
// grid.
//
// Ranks of one pipeline stage run the same list (a class program) with symbolic peers and groups:
// "the rank of stage 2 with my data and tensor coordinates", "my data group". So a program has as
// many classes as stages, whatever the number of ranks.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::program {

/// Where an instruction runs. Compute runs in order, one at a time; the other lanes start
/// instructions in list order as soon as their own waits are met and do not wait for completion
/// before starting the next.
enum class Lane : std::uint8_t { compute, comm, storage };
inline constexpr int kLanes = 3;

enum class Kind : std::uint8_t {
  load,            ///< storage: tokens of one micro-batch
  segment,         ///< compute: one compute step of a block's plan, in `pass`
  all_reduce,      ///< comm, over `group`; in place
  all_gather,      ///< comm
  reduce_scatter,  ///< comm
  send,            ///< comm: to stage `peer`
  receive,         ///< comm: from stage `peer`
  norm,            ///< compute: squared norm and overflow of one unit's gradient
  decide,          ///< compute: clip factor, skip, learning rate from what the world agreed on
  trust,           ///< compute: LAMB's update direction of one unit and the norms of its tensors
  update,          ///< compute: optimizer step of one unit
};

enum class Pass : std::uint8_t { none, forward, recompute, backward };

/// Groups of the process grid as an instruction names them; the same symbols as comm's.
enum class Group : std::uint8_t { none, tensor, data, tied, world };

/// Condition of an instruction; false means complete without effect.
enum class When : std::uint8_t {
  always,
  applied
};  ///< applied: the step is not skipped for overflow

enum class Lifetime : std::uint8_t {
  resident,  ///< one offset in all programs of the run
  step,      ///< from its first writer to its last user in the list
};

/// What a buffer is for: the rows of the memory table.
enum class Purpose : std::uint8_t {
  weights,
  masters,
  gradients,
  moments,
  scalars,
  tokens,
  activations,
  activation_gradients,
  optimizer,  ///< scratch of the update
};
inline constexpr int kPurposes = 9;

using BufferId = std::int32_t;

struct Buffer {
  std::int64_t bytes = 0;
  std::int64_t offset = -1;  ///< in the rank's arena, set by the memory plan
  std::int32_t stage = 0;
  std::int32_t owner = -1;  ///< block (activations), unit (model state)
  std::int32_t micro = -1;
  std::int32_t slot = -1;  ///< slot of the block's plan, number of the moment
  Purpose purpose = Purpose::activations;
  Lifetime lifetime = Lifetime::step;
  std::uint8_t generation = 0;  ///< 1: written by recomputation
};

struct Instruction {
  Kind kind = Kind::segment;
  Lane lane = Lane::compute;
  Pass pass = Pass::none;
  Group group = Group::none;
  When when = When::always;
  /// Bit i: the gradient of the block's unit i already holds earlier contributions. Bit 31: so does
  /// the loss.
  std::uint32_t accumulate = 0;
  std::int32_t stage = 0;
  std::int32_t peer = -1;  ///< stage of a transfer's other end
  std::int32_t event =
      -1;  ///< the same number on all instructions of one transfer or world/tied collective
  std::int32_t block = -1;
  std::int32_t step = -1;  ///< index in the plan's forward (forward, recompute) or backward
  std::int32_t micro = -1;
  std::int32_t unit = -1;
  double flops = 0;
  std::int64_t bytes = 0;  ///< memory traffic; payload of communication; bytes read by a load
  /// Buffers, in the order of the plan step's slots, then weights (reads) or gradients (writes) of
  /// units.
  std::vector<BufferId> reads;
  std::vector<BufferId> writes;
  /// Positions in the stage's own list that must be complete first; made by derive_waits() alone.
  std::vector<std::int32_t> waits;
};

inline constexpr std::uint32_t kAccumulateLoss = 1u << 31;

/// The programs of the whole grid in one linear order; a stage's list is its restriction. A
/// transfer's two ends, and the parts of a collective that spans stages, are neighbours in it.
struct GridProgram {
  std::int32_t stages = 1;
  std::int32_t events = 0;
  std::vector<Instruction> order;
  std::vector<Buffer> buffers;
};

/// The list of one stage, as its ranks run it.
struct StageProgram {
  std::int32_t stage = 0;
  std::vector<Instruction> instructions;
};

std::vector<StageProgram> stage_programs(const GridProgram& grid);

std::string_view name_of(Lane lane);
std::string_view name_of(Kind kind);
std::string_view name_of(Pass pass);
std::string_view name_of(Group group);
std::string_view name_of(Purpose purpose);

}  // namespace trireme::program
