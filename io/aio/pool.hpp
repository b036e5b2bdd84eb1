#pragma once
// Buffers for transfers whose bytes have no home in an arena: pieces of a checkpoint on their way
// from NVMe to HDF5, a benchmark's data.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trireme::io::aio {

/// `count` equal buffers in one mapping, aligned for O_DIRECT, touched once and kept. For one
/// thread.
class Pool {
 public:
  /// `bytes` of each buffer, rounded up to kAlignment. Exit::kUnexpected when there is no memory.
  Pool(std::int64_t count, std::int64_t bytes);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// A buffer until give_back(); none left is an error of the caller (Exit::kUnexpected).
  std::span<std::byte> take();
  /// `buffer` as take() gave it, with no transfer in flight.
  void give_back(std::span<std::byte> buffer);

  std::int64_t free() const { return static_cast<std::int64_t>(free_.size()); }
  std::int64_t buffer_bytes() const { return bytes_; }

 private:
  std::int64_t count_;
  std::int64_t bytes_;
  std::byte* memory_ = nullptr;
  std::vector<std::byte*> free_;
};

}  // namespace trireme::io::aio
