#pragma once
// Cutting a box of a dataset into boxes that one HDF5 call can move; inside this folder only.

#include "io/hdf5/file.hpp"

#include <cstdint>
#include <vector>

namespace trireme::io {

struct Piece {
  Slab slab;
  std::int64_t first_element = 0;  ///< in the caller's dense memory
};

/// Halves the slab along its first dim longer than 1 until every piece has at most `most`
/// elements (most >= 1). Dims before that one have size 1, so a piece is dense in the caller's
/// memory too. The pieces, in order, are the whole. No elements: no pieces.
std::vector<Piece> cut_into_pieces(const Slab& slab, std::int64_t most);

}  // namespace trireme::io
