#pragma once
// Which part of which logical tensor a rank holds, and which rank writes it.

#include "io/aio/parts.hpp"
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
  float* memory = nullptr;  ///< dense in the shape of the slab; valid during the visit; null when
                            ///< only listed
  bool writes = false;      ///< every logical element is written by exactly one rank
};

/// Calls `visit` for every part that `rank` holds; with Access::write what it leaves in memory
/// becomes the state.
void for_each_slice(const comm::ProcessGrid& grid, int rank, const models::Model& model,
                    std::size_t moments, state::Store& store, state::Store::Access access,
                    const std::function<void(const Slice&)>& visit);

/// A few rows of a slice: large enough to move, small enough to be summed up while others move.
struct Block {
  io::aio::FilePart part;   ///< where they lie in the file
  float* memory = nullptr;  ///< dense; null in a slice without memory
  std::int64_t rows = 0;    ///< [rows][columns], of the tensor as a matrix (one of one dim: [n][1])
  std::int64_t columns = 0;
  std::int64_t first = 0;  ///< place in the tensor of the first element
  std::int64_t width = 0;  ///< elements of the tensor from a row to the next

  /// Blocks that cover a tensor add up to its checksum, whatever the grid.
  std::uint64_t checksum() const;
};

/// Calls `visit` for the blocks of a slice, in order. `offset`: byte of the file where its tensor
/// of shape `logical` begins.
void for_each_block(const Slice& slice, const Shape& logical, std::int64_t offset,
                    const std::function<void(const Block&)>& visit);

}  // namespace trireme::checkpoint
