#pragma once
// Node-shared memory for everything ranks exchange: collectives inside a node then read and write
// peers' buffers in place.

#include "lib/comm/world.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace trireme::comm {

/// One contiguous, zeroed piece of memory a rank, visible to all ranks of its node. Sizes may
/// differ between ranks. Memory is touched at construction and kept until destruction, both
/// collective over the node. A rank alone on its node gets plain memory and asks nothing of
/// /dev/shm.
class SharedArena {
 public:
  static constexpr std::int64_t kAlignment = 4096;  ///< of base() on every rank

  /// `bytes` of this rank, >= 0. Exit 3, on all ranks of the node, when /dev/shm has less room than
  /// the ranks of the node ask for together.
  SharedArena(const World& world, std::int64_t bytes);
  ~SharedArena();
  SharedArena(const SharedArena&) = delete;
  SharedArena& operator=(const SharedArena&) = delete;

  std::byte* base() const { return parts_[static_cast<std::size_t>(node_rank_)].base; }
  std::int64_t bytes() const { return parts_[static_cast<std::size_t>(node_rank_)].bytes; }

  /// Offset of `memory` from base(), or -1 when [memory, memory + bytes) is not all inside.
  std::int64_t offset_of(const void* memory, std::int64_t bytes) const;
  /// Where this process sees byte `offset` of the arena of another rank of this node.
  std::byte* at(int node_rank, std::int64_t offset) const {
    return parts_[static_cast<std::size_t>(node_rank)].base + offset;
  }

 private:
  struct Part {
    std::byte* base = nullptr;
    std::int64_t bytes = 0;
  };
  void allocate_shared(const World& world, std::int64_t bytes);
  void allocate_alone(std::int64_t bytes);

  std::vector<Part> parts_;  // by node rank
  int node_rank_ = 0;
  MPI_Win window_ = MPI_WIN_NULL;
  std::int64_t own_bytes_ = 0;  // mapped when alone
};

}  // namespace trireme::comm
