#include "lib/state/store.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/process_memory.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "lib/nn/initialise.hpp"
#include "lib/program/print.hpp"

#include <algorithm>

namespace trireme::state {
namespace {

using program::Purpose;

std::int64_t largest_arena(const std::vector<const program::Compiled*>& programs,
                           std::int32_t stage) {
  std::int64_t bytes = 0;
  for (const program::Compiled* compiled : programs)
    bytes = std::max(bytes, compiled->memory.arena_bytes[static_cast<std::size_t>(stage)]);
  return bytes;
}

/// First stage with a replica of the unit.
std::int32_t first_holder(const models::Model& model, const program::Layout& layout,
                          std::int32_t unit) {
  for (std::int32_t stage = 0; stage < layout.stages; ++stage) {
    const auto units = program::units_of_stage(model, layout, stage);
    if (std::binary_search(units.begin(), units.end(), unit)) return stage;
  }
  fail(Exit::kUnexpected, "no stage holds unit {}", unit);
}

}  // namespace

Store::Store(const comm::World& world, const models::Model& model, const program::Layout& layout,
             const program::ResidentTable& resident, int moments, std::int32_t stage,
             const std::vector<const program::Compiled*>& programs)
    : arena_(world, largest_arena(programs, stage)) {
  const auto place = [&](std::int32_t unit, Purpose purpose, std::int32_t number) {
    return at(
        resident.buffers()[static_cast<std::size_t>(resident.find(stage, unit, purpose, number))]);
  };
  const auto floats = [&](std::int32_t unit, Purpose purpose, std::int32_t number) {
    return std::span(
        reinterpret_cast<float*>(place(unit, purpose, number)),
        static_cast<std::size_t>(model.units[static_cast<std::size_t>(unit)].elements));
  };
  const DType compute = model.placement.compute;
  for (const std::int32_t index : program::units_of_stage(model, layout, stage)) {
    UnitState unit;
    unit.unit = &model.units[static_cast<std::size_t>(index)];
    unit.index = index;
    unit.primary = first_holder(model, layout, index) == stage;
    unit.weights = {place(index, Purpose::weights, 0), {unit.unit->elements}, compute};
    unit.masters = floats(index, compute == DType::f32 ? Purpose::weights : Purpose::masters, 0);
    unit.gradients = floats(index, Purpose::gradients, 0);
    for (int m = 0; m < moments; ++m) unit.moments.push_back(floats(index, Purpose::moments, m));
    units_.push_back(std::move(unit));
  }
  scalars_ = {reinterpret_cast<double*>(place(-1, Purpose::scalars, 0)),
              static_cast<std::size_t>(program::kScalars) + model.units.size()};

  for (const program::Buffer& buffer : resident.buffers())
    if (buffer.stage == stage) state_.push_back(buffer);

  program::PurposeBytes largest;
  for (const program::Compiled* compiled : programs) {
    const program::PurposeBytes need = program::memory_by_purpose(*compiled, stage);
    if (need.total >= largest.total) largest = need;
  }
  for (int p = 0; p < program::kPurposes; ++p)
    if (const std::int64_t bytes = largest.bytes[static_cast<std::size_t>(p)]; bytes > 0)
      planned_.push_back({static_cast<Purpose>(p), bytes});
}

std::array<std::int64_t, program::kPurposes> Store::state_in_memory() const {
  std::array<std::int64_t, program::kPurposes> found{};
  for (const program::Buffer& buffer : state_)
    found[static_cast<std::size_t>(buffer.purpose)] +=
        bytes_in_memory(arena_.base() + buffer.offset, buffer.bytes);
  return found;
}

UnitState& Store::unit(std::int32_t index) {
  const auto found =
      std::lower_bound(units_.begin(), units_.end(), index,
                       [](const UnitState& u, std::int32_t i) { return u.index < i; });
  check(found != units_.end() && found->index == index, Exit::kUnexpected,
        "unit {} is not on this rank", index);
  return *found;
}

void Store::initialise(std::uint64_t seed, std::int64_t tensor_rank, std::int64_t tensor) {
  for (UnitState& unit : units_)
    nn::initialise(*unit.unit, tensor, tensor_rank, seed, unit.masters);
  refresh_weights();
}

void Store::refresh_weights() {
  for (UnitState& unit : units_)
    if (unit.weights.dtype != DType::f32)
      kernels::copy(TensorView::of(unit.masters.data(), {unit.unit->elements}), unit.weights);
}

}  // namespace trireme::state
