#pragma once
// A disk that is full, for one file of this process.

#include <string>

namespace trireme::test {

/// While it lives, writing to this file fails with ENOSPC, whoever in the process writes: HDF5,
/// MPI-IO. One at a time.
class FullDisk {
 public:
  explicit FullDisk(const std::string& path);
  ~FullDisk();
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
};

}  // namespace trireme::test
