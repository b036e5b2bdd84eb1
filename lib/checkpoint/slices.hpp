#pragma once
// Which part of which logical tensor a rank holds, and which rank writes it.

#include "io/hdf5/file.hpp"
#include "lib/comm/grid.hpp"
#include "lib/state/store.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::checkpoint {

/// One logical tensor of a checkpoint: a parameter's masters, or one of its optimizer states.
struct Tensor {
  std::string name;  ///< path in the file: "/parameters/...", "/optimizer/exp_avg/..."
  Shape shape;       ///< logical
};

/// All tensors in one order on all ranks: units in the model's order, parameters in theirs, masters
/// before states.
std::vector<Tensor> all_tensors(const models::Model& model,
                                std::span<const std::string_view> moments);

/// A rank's part of a tensor: a tensor has several where it is divided between ranks or tiers.
struct Slice {
  std::size_t tensor = 0;   ///< in all_tensors()
  io::Slab slab;            ///< in the logical tensor
  float* memory = nullptr;  ///< dense in the shape of the slab; valid during the visit
  bool writes = false;      ///< every logical element is written by exactly one rank
};

/// Calls `visit` for every part that `rank` holds; with Access::write what it leaves in memory
/// becomes the state.
void for_each_slice(const comm::ProcessGrid& grid, int rank, const models::Model& model,
                    std::size_t moments, state::Store& store, state::Store::Access access,
                    const std::function<void(const Slice&)>& visit);

/// Sum over the slice's elements of a hash of (position in the logical tensor, bits), modulo 2^64:
/// sums of all writers' slices are the tensor's checksum, whatever the grid.
std::uint64_t checksum_of(const Slice& slice, const Shape& logical);

}  // namespace trireme::checkpoint
