#pragma once
// The store owns all state of a rank (weights, masters, gradients, moments, and the transient
// regions of its programs) on all tiers, is the only code that moves it between them, and answers
// for its bytes.
//
// The device tier is a node-shared arena, which collectives reach without copies; the host tier is
// private memory in huge pages, which O_DIRECT moves at twice the speed of small ones; the NVMe
// tier is one swap file a rank. With a GPU the device tier is one piece of its memory, and the host
// tier, where collectives then work, is the arena, page-locked.

#include "io/aio/engine.hpp"
#include "io/aio/pool.hpp"
#include "io/aio/swap_file.hpp"
#include "lib/comm/arena.hpp"
#include "lib/comm/grid.hpp"
#include "lib/program/compile.hpp"
#include "lib/state/device_tier.hpp"
#include "lib/state/runs.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace trireme::state {

/// A unit with state on this rank.
struct UnitState {
  const nn::Unit* unit = nullptr;
  std::int32_t index = 0;  ///< in Model::units
  /// This rank's replica stands for the unit: false on the second of the two stages that hold a
  /// tied unit.
  bool primary = true;
};

/// Where a rank stands among those that hold its stage.
struct Seat {
  std::int32_t stage = 0;
  std::int64_t share =
      0;  ///< among the ranks that divide state: data coordinate modulo their number
  std::int64_t replica = 0;  ///< among those with the same share
};
Seat seat_of(const models::Model& model, const comm::Coordinates& at);

/// Planned bytes of one purpose in a tier.
struct MemoryRow {
  program::Tier tier = program::Tier::device;
  program::Purpose purpose = program::Purpose::weights;
  std::int64_t planned = 0;
};

/// Elements of a unit's flat buffer as visit() hands them out.
struct Held {
  Range flat;
  std::span<float> values;                   ///< [flat.size()]; empty when only listed
  program::Part part = program::Part::body;  ///< of the buffer they live in
};

class Store {
 public:
  /// Collective over the ranks of a node. Allocates and touches the memory of all tiers:
  /// resident state of the seat's stage and the largest transient regions of `programs`, which must
  /// outlive the store. Nothing is initialised but zero.
  Store(const comm::World& world, const models::Model& model, const program::Layout& layout,
        const program::ResidentTable& resident, const program::Options& options, const Seat& seat,
        const std::vector<const program::Compiled*>& programs);

  /// Memory of a buffer of the device or host tier, and its space.
  std::byte* at(const program::Buffer& buffer) {
    return (buffer.tier == program::Tier::host ? host_ : device_) + buffer.offset;
  }
  MemorySpace space_of(const program::Buffer& buffer) const {
    return gpu_ && buffer.tier == program::Tier::device ? MemorySpace::device : MemorySpace::host;
  }
  /// Null without a GPU.
  DeviceTier* gpu() { return gpu_.get(); }
  const comm::SharedArena& arena() const { return arena_; }

  std::span<UnitState> units() { return units_; }
  /// The unit with this index in the model; a bug report when this rank has none of it.
  UnitState& unit(std::int32_t index);
  const Seat& seat() const { return seat_; }
  /// f64 [kScalars + kExactLimbs], see engine/scalars.hpp: what the host adds to them, and what the
  /// world agreed on. Without a GPU these are the device's too.
  std::span<double> scalars() { return scalars_; }
  /// The device's own part of the sums, in its memory.
  std::span<double> device_scalars() { return device_scalars_; }

  /// list: what there is, without values.
  enum class Access { list, read, write, update };
  /// Hands out what this rank holds of an f32 purpose of a unit, run by run, whatever tier it lives
  /// on; not while a program runs. Purpose::masters are the weights where those are the masters.
  void visit(const UnitState& unit, program::Purpose purpose, std::int32_t number, Access access,
             const std::function<void(const Held&)>& visit);

  /// Masters from (seed, logical name, logical element); moments and gradients are zero. The
  /// refresh program then makes the weights.
  void initialise(std::uint64_t seed, std::int64_t tensor_rank, std::int64_t tensor);

  /// The swap file and its engine; only where the programs have an NVMe tier.
  bool has_storage() const { return swap_ != nullptr; }
  io::aio::SwapFile& swap() { return *swap_; }
  io::aio::Engine& transfers() { return *transfers_; }
  /// Called on a thread of the engine behind every transfer that is complete; null: nobody. The
  /// function must outlive its time here.
  void listen(const std::function<void()>* listener) { listener_ = listener; }
  /// Why transfers go through the page cache, for a warning; empty when they do not.
  std::string why_buffered() const { return swap_ ? swap_->why_buffered() : ""; }

  /// Planned bytes by tier and purpose, of the program with the largest need of each tier.
  const std::vector<MemoryRow>& memory() const { return planned_; }
  /// Size of a tier on this rank, and how much of it is in memory (of NVMe: what storage holds).
  std::int64_t bytes(program::Tier tier) const;
  std::int64_t bytes_in_memory(program::Tier tier) const;
  /// Bytes of model state of a tier by purpose that are in memory now (of NVMe: its files'), by the
  /// operating system's pages; what programs use of the transient region is the executor's to tell.
  /// Of the kernels' workspace the most that one has asked for.
  std::array<std::int64_t, program::kPurposes> state_in_memory(
      program::Tier tier = program::Tier::device) const;

 private:
  void take_memory(std::int64_t device_bytes, std::int64_t host_bytes, bool apart);
  /// Whether the operating system knows which pages of a tier are in memory.
  bool pages(program::Tier tier) const {
    return tier == program::Tier::host || (tier == program::Tier::device && !gpu_);
  }
  void open_storage(const deck::ZeroConfig& zero, std::int64_t bytes);
  void visit_copies(const nn::Unit& unit, const program::Buffer& buffer, Access access,
                    const std::function<void(const Held&)>& visit);
  void copy_here(const program::Buffer& buffer, std::int64_t offset, std::span<std::byte> bytes);
  void copy_back(const program::Buffer& buffer, std::int64_t offset, std::span<std::byte> bytes);

  comm::SharedArena arena_;
  std::unique_ptr<DeviceTier> gpu_;
  std::byte* device_ = nullptr;
  std::int64_t device_bytes_ = 0;
  std::unique_ptr<io::aio::Pool> host_memory_;
  std::byte* host_ = nullptr;
  std::int64_t host_bytes_ = 0;
  const program::ResidentTable& resident_;
  Seat seat_;
  std::vector<UnitState> units_;
  std::vector<double> own_scalars_;  // where the device's lie apart
  std::span<double> scalars_;
  std::span<double> device_scalars_;
  std::vector<MemoryRow> planned_;
  std::vector<program::Buffer> state_;  // the stage's part of the resident table
  std::atomic<const std::function<void()>*> listener_{nullptr};
  std::unique_ptr<io::aio::SwapFile> swap_;
  std::unique_ptr<io::aio::Engine> transfers_;
};

}  // namespace trireme::state
