#pragma once
// Where the bytes of a dataset lie in its file, for readers that use pread and need no HDF5 lock.

#include "io/hdf5/file.hpp"

#include <cstdint>
#include <vector>

namespace trireme::io {

/// Elements [first, first + elements) of a dataset lie at byte `offset` of the file.
struct FilePiece {
  std::int64_t first = 0;
  std::int64_t elements = 0;
  std::int64_t offset = 0;
};

/// Pieces of a 1-dim unfiltered dataset in order: one when it is contiguous, one a chunk
/// otherwise. Fails (Exit::kFile) on filters and on chunks that were never written.
std::vector<FilePiece> storage_of(const Hdf5File& file, std::string_view name);

/// Byte of the file where the dense, row-major data of a dataset of any shape begin. Fails
/// (Exit::kFile) when they lie in chunks, with filters, or were never written.
std::int64_t offset_of(const Hdf5File& file, std::string_view name);

}  // namespace trireme::io
