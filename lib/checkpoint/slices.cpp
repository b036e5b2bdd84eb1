#include "lib/checkpoint/slices.hpp"

#include <bit>

namespace trireme::checkpoint {
namespace {

/// Finalizer of SplitMix64 (Steele et al., OOPSLA 2014): every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

io::Slab slab_of(const nn::Parameter& parameter, std::int64_t tensor, std::int64_t tensor_rank) {
  io::Slab slab{parameter.shape, parameter.shape};
  for (int d = 0; d < parameter.shape.rank(); ++d) slab.start = slab.start.with(d, 0);
  if (parameter.split_dim < 0) return slab;
  const Range held = nn::local_range(parameter, tensor, tensor_rank);
  slab.start = slab.start.with(parameter.split_dim, held.begin);
  slab.count = slab.count.with(parameter.split_dim, held.size());
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
      for (const std::string_view moment : moments)
        tensors.push_back(
            {"/optimizer/" + std::string(moment) + "/" + name, placed.parameter.shape});
    }
  return tensors;
}

void for_each_slice(const comm::ProcessGrid& grid, int rank, const models::Model& model,
                    std::size_t moments, state::Store& store,
                    const std::function<void(const Slice&)>& visit) {
  const comm::Coordinates at = grid.coordinates(rank);
  std::vector<std::size_t> first_tensor{0};  // by unit
  for (const nn::Unit& unit : model.units)
    first_tensor.push_back(first_tensor.back() + unit.parameters.size() * (1 + moments));

  for (state::UnitState& unit : store.units()) {
    std::size_t tensor = first_tensor[static_cast<std::size_t>(unit.index)];
    // Replicas over the data axis take turns, so that all of them write.
    const bool turn = unit.primary && unit.index % grid.data() == at.data;
    for (const nn::PlacedParameter& placed : unit.unit->parameters) {
      const bool divided = placed.parameter.split_dim >= 0;
      Slice slice;
      slice.slab = slab_of(placed.parameter, grid.tensor(), at.tensor);
      slice.writes = turn && (divided || at.tensor == 0) && slice.slab.count.elements() > 0;
      for (std::size_t part = 0; part <= moments; ++part) {
        const std::span<float> flat = part == 0 ? unit.masters : unit.moments[part - 1];
        slice.tensor = tensor++;
        slice.memory = flat.data() + placed.offset;
        visit(slice);
      }
    }
  }
}

std::uint64_t checksum_of(const Slice& slice, const Shape& logical) {
  const bool matrix = logical.rank() == 2;
  const std::int64_t width = matrix ? logical[1] : 1;
  const std::int64_t columns = matrix ? slice.slab.count[1] : 1;
  const std::int64_t first_column = matrix ? slice.slab.start[1] : 0;
  std::uint64_t sum = 0;
  for (std::int64_t r = 0; r < slice.slab.count[0]; ++r) {
    const auto begin = static_cast<std::uint64_t>((slice.slab.start[0] + r) * width + first_column);
    const float* row = slice.memory + r * columns;
    for (std::int64_t c = 0; c < columns; ++c)
      sum += mix(((begin + static_cast<std::uint64_t>(c)) << 32) ^
                 (begin + static_cast<std::uint64_t>(c)) >> 32 ^
                 std::bit_cast<std::uint32_t>(row[c]) ^ 0x9e3779b97f4a7c15ull);
  }
  return sum;
}

}  // namespace trireme::checkpoint
