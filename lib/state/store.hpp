#pragma once
// The store owns all state of a rank (weights, masters, gradients, moments, and the transient
// region of its programs) in one arena, hands out views of it, and answers for its bytes.

#include "lib/comm/arena.hpp"
#include "lib/program/compile.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace trireme::state {

/// The flat buffers of one unit on this rank; all have unit->elements elements and the unit's
/// layout.
struct UnitState {
  const nn::Unit* unit = nullptr;
  std::int32_t index = 0;  ///< in Model::units
  /// This rank's replica stands for the unit: false on the second of the two stages that hold a
  /// tied unit.
  bool primary = true;
  TensorView weights;  ///< [elements] in the compute dtype; the masters themselves when that is f32
  std::span<float> masters;
  std::span<float> gradients;
  std::vector<std::span<float>> moments;
};

/// Bytes of one purpose, as planned.
struct MemoryRow {
  program::Purpose purpose = program::Purpose::weights;
  std::int64_t planned = 0;
};

class Store {
 public:
  /// Collective over the ranks of a node. Allocates and touches the arena: `resident` state of
  /// `stage` and the largest transient region of `programs`, which must outlive the store. Nothing
  /// is initialised but zero.
  Store(const comm::World& world, const models::Model& model, const program::Layout& layout,
        const program::ResidentTable& resident, int moments, std::int32_t stage,
        const std::vector<const program::Compiled*>& programs);

  std::byte* at(const program::Buffer& buffer) { return arena_.base() + buffer.offset; }
  const comm::SharedArena& arena() const { return arena_; }

  std::span<UnitState> units() { return units_; }
  /// The unit with this index in the model; a bug report when this rank has none of it.
  UnitState& unit(std::int32_t index);
  /// f64 [kScalars + units of the model], see engine/scalars.hpp.
  std::span<double> scalars() { return scalars_; }

  /// Masters from (seed, logical name, logical element), weights rounded from them, moments and
  /// gradients zero.
  void initialise(std::uint64_t seed, std::int64_t tensor_rank, std::int64_t tensor);
  /// Rounds masters to weights where they are apart; after a checkpoint was read into the masters.
  void refresh_weights();

  /// Planned bytes of the program with the larger need.
  const std::vector<MemoryRow>& memory() const { return planned_; }
  /// Bytes of model state by purpose that are in memory now, by the operating system's pages; what
  /// programs use of the transient region is the executor's to tell.
  std::array<std::int64_t, program::kPurposes> state_in_memory() const;

 private:
  comm::SharedArena arena_;
  std::vector<UnitState> units_;
  std::span<double> scalars_;
  std::vector<MemoryRow> planned_;
  std::vector<program::Buffer> state_;  // the stage's part of the resident table
};

}  // namespace trireme::state
