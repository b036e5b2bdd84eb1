#include "lib/checkpoint/slices.hpp"

#include "kernels/elementwise/placed_checksum.hpp"

#include <algorithm>

namespace trireme::checkpoint {
namespace {

constexpr std::int64_t kBlockBytes = std::int64_t{4} << 20;

/// Where a rectangle of a tensor rank's local matrix lies in the logical tensor.
io::Slab slab_of(const nn::Parameter& parameter, const Range& held, const nn::Rectangle& part) {
  io::Slab slab{parameter.shape, parameter.shape};
  const auto place = [&](int dim, const Range& range) {
    const std::int64_t first = parameter.split_dim == dim ? held.begin : 0;
    slab.start = slab.start.with(dim, first + range.begin);
    slab.count = slab.count.with(dim, range.size());
  };
  place(0, part.rows);
  if (parameter.shape.rank() == 2) place(1, part.columns);
  return slab;
}

}  // namespace

std::vector<Tensor> all_tensors(const models::Model& model,
                                std::span<const std::string_view> moments) {
  std::vector<Tensor> tensors;
  for (const nn::Unit& unit : model.units)
    for (const nn::PlacedParameter& placed : unit.parameters) {
      const std::string name = nn::logical_name(unit, placed.parameter);
      tensors.push_back({"/parameters/" + name, placed.parameter.shape});
      if (unit.frozen) continue;
      for (const std::string_view moment : moments)
        tensors.push_back(
            {"/optimizer/" + std::string(moment) + "/" + name, placed.parameter.shape});
    }
  return tensors;
}

void for_each_slice(const comm::ProcessGrid& grid, int rank, const models::Model& model,
                    std::size_t moments, state::Store& store, state::Store::Access access,
                    const std::function<void(const Slice&)>& visit) {
  const comm::Coordinates at = grid.coordinates(rank);
  const std::int64_t replicas = grid.data() / model.placement.sharding.ranks;
  std::vector<std::size_t> first_tensor{0};  // by unit
  const auto tensors_each = [&](const nn::Unit& unit) { return unit.frozen ? 1 : 1 + moments; };
  for (const nn::Unit& unit : model.units)
    first_tensor.push_back(first_tensor.back() + unit.parameters.size() * tensors_each(unit));

  for (const state::UnitState& unit : store.units())
    for (std::size_t part = 0; part < tensors_each(*unit.unit); ++part) {
      const auto purpose = part == 0 ? program::Purpose::masters : program::Purpose::moments;
      const auto number = part == 0 ? 0 : static_cast<std::int32_t>(part) - 1;
      store.visit(unit, purpose, number, access, [&](const state::Held& held) {
        // Ranks that hold the same take turns by unit, so that all of them write.
        const bool turn = unit.primary && (held.part == program::Part::share
                                               ? unit.index % replicas == store.seat().replica
                                               : unit.index % grid.data() == at.data);
        for (std::size_t p = 0; p < unit.unit->parameters.size(); ++p) {
          const nn::PlacedParameter& placed = unit.unit->parameters[p];
          const nn::Parameter& parameter = placed.parameter;
          const bool divided = parameter.split_dim >= 0;
          const Range mine = nn::local_range(parameter, grid.tensor(), at.tensor);
          const std::int64_t rows = parameter.split_dim == 0 ? mine.size() : placed.local[0];
          for (const nn::Rectangle& rectangle : nn::rectangles(placed, held.flat, rows)) {
            Slice slice;
            slice.tensor = first_tensor[static_cast<std::size_t>(unit.index)] +
                           p * tensors_each(*unit.unit) + part;
            slice.slab = slab_of(parameter, mine, rectangle);
            if (!held.values.empty())
              slice.memory = held.values.data() + (rectangle.flat - held.flat.begin);
            slice.writes = turn && (divided || at.tensor == 0);
            visit(slice);
          }
        }
      });
    }
}

void for_each_block(const Slice& slice, const Shape& logical, std::int64_t offset,
                    const std::function<void(const Block&)>& visit) {
  constexpr std::int64_t kFloat = sizeof(float);
  const bool matrix = logical.rank() == 2;
  const std::int64_t width = matrix ? logical[1] : 1;
  const std::int64_t columns = matrix ? slice.slab.count[1] : 1;
  const std::int64_t first = slice.slab.start[0] * width + (matrix ? slice.slab.start[1] : 0);
  const std::int64_t rows = slice.slab.count[0];
  const std::int64_t most = std::max(std::int64_t{1}, kBlockBytes / (columns * kFloat));
  for (std::int64_t row = 0; row < rows; row += most) {
    Block block;
    block.rows = std::min(most, rows - row);
    block.columns = columns;
    block.first = first + row * width;
    block.width = width;
    block.part = {offset + block.first * kFloat, columns * kFloat, block.rows, width * kFloat};
    if (columns == width)  // one run
      block.part = {block.part.offset, block.rows * block.part.bytes};
    if (slice.memory != nullptr) block.memory = slice.memory + row * columns;
    visit(block);
  }
}

std::uint64_t Block::checksum() const {
  return kernels::placed_checksum({memory, rows, columns, first, width});
}

}  // namespace trireme::checkpoint
