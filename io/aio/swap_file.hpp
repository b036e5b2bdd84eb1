#pragma once
// A file for state that does not fit memory: one a rank, without a name, gone with its process.

#include "io/aio/file.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trireme::io::aio {

struct SwapOptions {
  /// Keep a checksum of every kAlignment bytes in memory (4 bytes each, 0.1 % of the file) and
  /// verify what is read.
  bool checksums = false;
  /// Past the page cache where the file system can; false: always through it.
  bool direct = true;
  /// False: as on a file system without O_TMPFILE (NFS), where the file has a name for an instant.
  bool unnamed = true;
};

/// Opened without a name (or unlinked right after it was opened), so that no `kill -9` leaves it
/// behind and two jobs may use one folder, and with all its space allocated, so that a full disk
/// shows before the run. Bytes never written read as zeros. Errors are Exit::kFile and name folder,
/// offset, length and what to do. Must outlive its transfers.
class SwapFile final : public File {
 public:
  /// `bytes` is a positive multiple of kAlignment. The folder must be there.
  SwapFile(std::string folder, std::int64_t bytes, SwapOptions options = {});

  /// Makes the file larger, with its space; no transfer of this file may be in flight. After a
  /// failure size and contents are as before.
  void grow(std::int64_t bytes);

  bool has_checksums() const { return options_.checksums; }
  /// Memory that the checksums take.
  std::int64_t checksum_bytes() const {
    return static_cast<std::int64_t>(checksums_.size() * sizeof(std::uint32_t));
  }

  /// Nothing without checksums.
  void remember(std::int64_t offset, std::span<const std::byte> data) override;
  std::int64_t first_damaged(std::int64_t offset, std::span<const std::byte> data) const override;

 private:
  void open_without_name();
  void allocate(std::int64_t from, std::int64_t to);

  std::string folder_;
  SwapOptions options_;
  std::vector<std::uint32_t> checksums_;  // of each kAlignment bytes
};

}  // namespace trireme::io::aio
