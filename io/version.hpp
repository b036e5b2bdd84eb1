#pragma once
// What produced a file: written into every checkpoint, shard and report.

#include <string>

namespace trireme::io {

/// "0.1.0"
std::string version();
/// Short commit hash of the built source, with "+" when it had changes; "unknown" outside a
/// checkout.
std::string commit();
/// "GNU 12.2.0, -O3 -DNDEBUG -march=x86-64-v3": compiler and flags of the build.
std::string compiler();
/// "1.10.8": of the HDF5 library that is loaded.
std::string hdf5_version();

}  // namespace trireme::io
