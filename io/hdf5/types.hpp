#pragma once
// Our element types in HDF5: inside this folder only.

#include "io/hdf5/handle.hpp"
#include "kernels/base/dtype.hpp"

#include <optional>

namespace trireme::io {

/// Type of elements as they lie in memory and in files (the same on little-endian machines); a
/// copy that the caller owns. f16 and bf16 become HDF5 floats of 2 bytes, which h5py and h5dump
/// read. The lock is held.
Hdf5Handle hdf5_type(DType type);

/// Inverse of hdf5_type; nothing for types we do not use.
std::optional<DType> dtype_of_hdf5(hid_t type);

}  // namespace trireme::io
