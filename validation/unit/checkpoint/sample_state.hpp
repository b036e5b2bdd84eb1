#pragma once
// A tiny model's masters and moments on one grid, filled with values that tell tensor and logical
// position, so that an element in a wrong place shows.

#include "lib/checkpoint/checkpoint.hpp"
#include "lib/checkpoint/slices.hpp"
#include "validation/harness/tiny_models.hpp"

#include <array>
#include <cstring>

namespace trireme::validation {

inline constexpr std::array<std::string_view, 2> kMoments{"exp_avg", "exp_avg_sq"};

class SampleState {
 public:
  SampleState(const comm::World& world, const deck::ModelConfig& config, comm::ProcessGrid grid,
              std::span<const std::string_view> moments = kMoments,
              const deck::ZeroConfig& zero = {})
      : world_(world),
        grid_(grid.with_shard(static_cast<int>(zero.stage > 0 ? zero.shard_ranks : 0))),
        moments_(moments),
        model_(models::build_language_model(config, placement_of(grid_, zero))),
        options_(options_of(grid_, moments, zero)),
        layout_(program::make_layout(model_, options_)),
        resident_(model_, layout_, options_),
        compiled_(program::compile(model_, layout_, options_, resident_)),
        store_(world, model_, layout_, resident_, options_,
               state::seat_of(model_, grid.coordinates(world.rank())), {&compiled_}) {}

  /// Every element gets the value that its tensor and logical position have.
  void fill() {
    each([](std::size_t tensor, std::int64_t position, float& element) {
      element = value(tensor, position);
    });
  }
  void clear() {
    each([](std::size_t, std::int64_t, float& element) { element = -1; });
  }
  /// Elements on this rank that differ in any bit from what fill() writes.
  std::int64_t wrong() {
    std::int64_t count = 0;
    each([&](std::size_t tensor, std::int64_t position, float& element) {
      const float expected = value(tensor, position);
      count += std::memcmp(&element, &expected, sizeof(float)) != 0;
    });
    return count;
  }

  checkpoint::Written save(const std::filesystem::path& folder, std::int64_t step,
                           std::int64_t keep = 0) {
    checkpoint::RunState run;
    run.step = step;
    run.fingerprint = "f";
    run.resolved_deck = "{}";
    return checkpoint::save(world_, grid_, model_, store_, moments_, run, folder, keep);
  }
  void load(const std::filesystem::path& checkpoint) {
    checkpoint::load(world_, grid_, model_, checkpoint, moments_, store_);
  }
  std::vector<checkpoint::Tensor> tensors() const {
    return checkpoint::all_tensors(model_, moments_);
  }
  state::Store& store() { return store_; }

 private:
  /// Distinct bits for every (tensor, position) here.
  static float value(std::size_t tensor, std::int64_t position) {
    return static_cast<float>(tensor * 4096 + static_cast<std::size_t>(position)) + 0.25f;
  }

  static nn::Placement placement_of(const comm::ProcessGrid& grid, const deck::ZeroConfig& zero) {
    nn::Placement placement = tiny_placement(grid.tensor());
    if (zero.stage > 0) placement.sharding.ranks = grid.shard();
    placement.sharding.cyclic = zero.cyclic;
    placement.sharding.alignment = 2048;
    if (zero.stage == 3 || zero.offload_param.tier != deck::Tier::device)
      placement.sharding.whole_up_to = placement.sharding.whole_in_total = 64;
    return placement;
  }

  static program::Options options_of(const comm::ProcessGrid& grid,
                                     std::span<const std::string_view> moments,
                                     const deck::ZeroConfig& zero) {
    program::Options options;
    options.shape.stages = grid.pipeline();
    options.shape.micro_batches = 2;
    options.data = grid.data();
    options.zero = zero;
    options.moments = static_cast<int>(moments.size());
    return options;
  }

  /// Calls `visit(tensor, logical position, element)`, by other arithmetic than the code tested.
  template <class Visit>
  void each(const Visit& visit) {
    for (const state::UnitState& unit : store_.units()) {
      std::size_t first = 0;
      for (int u = 0; u < unit.index; ++u)
        first +=
            model_.units[static_cast<std::size_t>(u)].parameters.size() * (1 + moments_.size());
      for (std::size_t part = 0; part <= moments_.size(); ++part)
        store_.visit(unit, part == 0 ? program::Purpose::masters : program::Purpose::moments,
                     part == 0 ? 0 : static_cast<std::int32_t>(part) - 1,
                     state::Store::Access::update, [&](const state::Held& held) {
                       for (std::size_t i = 0; i < held.values.size(); ++i)
                         each_element(unit, held.flat.begin + static_cast<std::int64_t>(i),
                                      [&](std::size_t p, std::int64_t position) {
                                        visit(first + p * (1 + moments_.size()) + part, position,
                                              held.values[i]);
                                      });
                     });
    }
  }

  /// Calls `visit(parameter, logical position)` when a parameter has this element of the flat
  /// buffer.
  template <class Visit>
  void each_element(const state::UnitState& unit, std::int64_t flat, const Visit& visit) {
    const std::int64_t tensor_rank = grid_.coordinates(world_.rank()).tensor;
    for (std::size_t p = 0; p < unit.unit->parameters.size(); ++p) {
      const nn::PlacedParameter& placed = unit.unit->parameters[p];
      if (flat < placed.offset || flat >= placed.offset + placed.elements()) continue;
      const Shape& whole = placed.parameter.shape;
      const std::int64_t columns = whole.rank() == 2 ? whole[1] : 1;
      const std::int64_t local_columns = whole.rank() == 2 ? placed.local[1] : 1;
      const int split = placed.parameter.split_dim;
      const std::int64_t row =
          (flat - placed.offset) / local_columns + (split == 0 ? tensor_rank * placed.local[0] : 0);
      const std::int64_t column =
          (flat - placed.offset) % local_columns + (split == 1 ? tensor_rank * local_columns : 0);
      if (row < whole[0]) visit(p, row * columns + column);
    }
  }

  const comm::World& world_;
  comm::ProcessGrid grid_;
  std::span<const std::string_view> moments_;
  models::Model model_;
  program::Options options_;
  program::Layout layout_;
  program::ResidentTable resident_;
  program::Compiled compiled_;
  state::Store store_;
};

/// Every data x tensor x pipeline of this many ranks that the tiny models can have.
inline std::vector<comm::ProcessGrid> grids_of(int ranks) {
  std::vector<comm::ProcessGrid> all;
  for (int tensor = 1; tensor <= std::min(ranks, 4); tensor *= 2)
    for (int pipeline = 1; tensor * pipeline <= ranks && pipeline <= 4; ++pipeline)
      if (ranks % (tensor * pipeline) == 0)
        all.emplace_back(ranks / (tensor * pipeline), tensor, pipeline);
  return all;
}

}  // namespace trireme::validation
