#pragma once
// The step program: instructions as plain data, over buffers, in one linear order for the whole
// grid.
//
// Ranks of one pipeline stage run the same list (a class program) with symbolic peers and groups:
// "the rank of stage 2 with my data and tensor coordinates", "my data group". So a program has as
// many classes as stages, whatever the number of ranks.

#include "kernels/base/checked.hpp"
#include "lib/deck/deck.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::program {

/// Where an instruction runs. Compute runs in order, one at a time; the other lanes start
/// instructions in list order as soon as their own waits are met and do not wait for completion
/// before starting the next.
/// A device with memory of its own adds a lane for the copies in each direction.
enum class Lane : std::uint8_t { compute, comm, storage, copy_out, copy_in };
inline constexpr int kLanes = 5;

enum class Kind : std::uint8_t {
  load,            ///< storage: tokens of one micro-batch
  segment,         ///< compute: one compute step of a block's plan, in `pass`
  all_reduce,      ///< comm, over `group`; in place
  all_gather,      ///< comm
  reduce_scatter,  ///< comm
  broadcast,       ///< comm: from member `peer` of `group`
  send,            ///< comm: to stage `peer`
  receive,         ///< comm: from stage `peer`
  clear,           ///< compute: zeros between the parameters of a unit's gradient
  accumulate,  ///< compute: a unit's summed gradient into where it stays; adds when `accumulate`
  norm,        ///< compute: squared norm and overflow of one unit's gradient
  decide,      ///< compute: clip factor, skip, learning rate from what the world agreed on
  trust,       ///< compute: LAMB's update direction of one unit and the norms of its tensors
  update,      ///< compute: optimizer step of one unit
  round,       ///< compute: weights of one unit from its masters
  fetch,       ///< storage, copy: from a lower tier
  /// storage, copy: to a lower tier. With group tensor only this rank's part of the source.
  /// Elements of a share, here and of a fetch, are the rank's own; with group shard those of all
  /// its members; with a peer that member's.
  store,
};
inline constexpr int kKinds = 17;

enum class Pass : std::uint8_t { none, forward, recompute, backward };

/// Groups of the process grid as an instruction names them; the same symbols as comm's.
/// Model state divided over the data axis is dealt over `shard`; `replica` joins the ranks that
/// hold the same share.
enum class Group : std::uint8_t { none, tensor, data, tied, world, shard, replica };

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
  optimizer,         ///< scratch of the update
  live_weights,      ///< gathered or fetched for use
  live_gradients,    ///< whole, until they are summed and divided
  staging,           ///< on their way between tiers
  kept_activations,  ///< a block's input that waits for its recomputation away from its place
  workspace,         ///< what the device's kernels work in besides their operands
};
inline constexpr int kPurposes = 14;

using deck::Tier;
inline constexpr int kTiers = 3;
std::string_view name_of(Tier tier);

/// Elements of a unit's flat buffer (see nn::Unit). Offsets count from the start of the part; those
/// of `share` count along the rank's own chunks.
enum class Part : std::uint8_t { none, body, share, tail };

using BufferId = std::int32_t;

struct Buffer {
  std::int64_t bytes = 0;
  std::int64_t offset = -1;  ///< in the rank's memory of this tier, set by the memory plan
  std::int32_t stage = 0;
  std::int32_t owner = -1;  ///< block (activations), unit (model state)
  std::int32_t micro = -1;
  std::int32_t slot = -1;  ///< slot of the block's plan, number of the moment
  Purpose purpose = Purpose::activations;
  /// Of model state and its copies: which state it holds, of which moment `slot` is the number.
  Purpose content = Purpose::activations;
  Lifetime lifetime = Lifetime::step;
  Tier tier = Tier::device;
  Part part = Part::none;       ///< of unit `owner`: model state and its copies
  Range elements;               ///< of that part
  std::uint8_t generation = 0;  ///< 1: written by recomputation
};

struct Instruction {
  Kind kind = Kind::segment;
  Lane lane = Lane::compute;
  Pass pass = Pass::none;
  Group group = Group::none;
  When when = When::always;
  /// Bit i: the gradient of the block's unit i already holds earlier contributions. Bit 31: so does
  /// the loss. Of an accumulate instruction: 1 adds, 0 overwrites.
  std::uint32_t accumulate = 0;
  std::uint32_t accumulate_tail = 0;  ///< the same bits for the tails of the units
  std::int32_t stage = 0;
  std::int32_t peer = -1;  ///< stage of a transfer's other end; member that broadcasts
  std::int32_t event =
      -1;  ///< the same number on all instructions of one transfer or world/tied collective
  std::int32_t block = -1;
  std::int32_t step = -1;  ///< index in the plan's forward (forward, recompute) or backward
  std::int32_t micro = -1;
  std::int32_t unit = -1;
  Part part = Part::none;  ///< what of the unit it works on, and touches in each of its buffers
  Range elements;
  double flops = 0;
  std::int64_t bytes = 0;  ///< memory traffic; payload of communication; bytes read by a load
  /// Buffers, in the order of the plan step's slots, then weights (reads) or gradients (writes) of
  /// units.
  std::vector<BufferId> reads;
  std::vector<BufferId> writes;
  /// Buffers whose bytes may not be taken over before this instruction.
  std::vector<BufferId> holds;
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
