#pragma once
// What the passes on model state have in common: instructions on (a part of) a unit, cut to the
// deck's bucket sizes.

#include "lib/program/compile.hpp"

#include <vector>

namespace trireme::program {

class UnitOps {
 public:
  UnitOps(GridProgram& grid, const models::Model& model, const Options& options,
          const ResidentTable& resident)
      : grid_(grid), model_(model), options_(options), resident_(resident) {}

  /// Where emitted instructions go; valid until it is called again.
  void emit_into(std::vector<Instruction>& out) { out_ = &out; }
  void emit(Instruction instruction) { out_->push_back(std::move(instruction)); }

  Instruction on_unit(Kind kind, Lane lane, std::int32_t stage, std::int32_t unit,
                      Part part = Part::none, Range elements = {}) const;

  /// A buffer of Lifetime::step for these elements of the state that `home` holds.
  BufferId copy_of(BufferId home, Purpose purpose, Tier tier, Part part, Range elements,
                   std::int32_t micro = -1);
  /// The first buffer in which a unit's gradient is made, where it is not made at its home.
  BufferId live_gradient(std::int32_t stage, std::int32_t unit) const;
  /// A buffer of Lifetime::step for the optimizer: scratch, or a token that orders instructions.
  BufferId scratch(std::int32_t stage, std::int32_t unit, std::int64_t bytes);

  /// Sums `buffer` in place over a group, elements of `part`, in pieces of a reduction bucket.
  void all_reduce(std::int32_t stage, std::int32_t unit, Group group, BufferId buffer, Part part,
                  Range elements);
  /// The shard group's sum of `whole` (body) into the share's place in it, or into `share`.
  void reduce_scatter(std::int32_t stage, std::int32_t unit, BufferId whole, BufferId share);
  /// `whole` (body) from the shares in it, or in `share`; with broadcasts where the deck says so.
  void all_gather(std::int32_t stage, std::int32_t unit, BufferId share, BufferId whole, When when,
                  std::int64_t bucket);
  /// A transfer between tiers: from `from` into `to`, these elements of both.
  void move(Kind kind, std::int32_t stage, std::int32_t unit, BufferId from, BufferId to, Part part,
            Range elements, When when);

  /// Consecutive pieces of `elements` of at most `largest`, never across a chunk's end where
  /// `part` is the share.
  std::vector<Range> pieces(std::int32_t unit, Part part, Range elements,
                            std::int64_t largest) const;

  const nn::Unit& unit(std::int32_t u) const { return model_.units[static_cast<std::size_t>(u)]; }
  const Buffer& buffer(BufferId id) const { return grid_.buffers[static_cast<std::size_t>(id)]; }
  Residence residence(std::int32_t u) const { return residence_of(model_, options_, u); }
  const models::Model& model() const { return model_; }
  const Options& options() const { return options_; }
  const deck::ZeroConfig& zero() const { return options_.zero; }
  const ResidentTable& resident() const { return resident_; }
  std::int64_t weight_size() const {
    return static_cast<std::int64_t>(size_of(model_.placement.compute));
  }
  /// Ranks that hold the same share.
  std::int64_t replicas() const { return options_.data / model_.placement.sharding.ranks; }

 private:
  std::int64_t bytes_of(BufferId id, Range elements) const;

  GridProgram& grid_;
  const models::Model& model_;
  const Options& options_;
  const ResidentTable& resident_;
  std::vector<Instruction>* out_ = nullptr;
};

}  // namespace trireme::program
