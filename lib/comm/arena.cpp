#include "lib/comm/arena.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/error.hpp"

#include <sys/mman.h>
#include <sys/statvfs.h>

#include <cstring>
#include <exception>

namespace trireme::comm {
namespace {

constexpr char kSharedMemoryFolder[] = "/dev/shm";

std::byte* align_up(void* memory) {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const auto mask = static_cast<std::uintptr_t>(SharedArena::kAlignment - 1);
  return reinterpret_cast<std::byte*>((address + mask) & ~mask);
}

/// Free bytes of /dev/shm; -1 when this system has none (then MPI keeps its windows elsewhere).
std::int64_t free_shared_memory() {
  struct statvfs info {};
  if (statvfs(kSharedMemoryFolder, &info) != 0) return -1;
  return checked_multiply(static_cast<std::int64_t>(info.f_bavail),
                          static_cast<std::int64_t>(info.f_frsize));
}

}  // namespace

SharedArena::SharedArena(const World& world, std::int64_t bytes) : node_rank_(world.node_rank()) {
  check(bytes >= 0, Exit::kUnexpected, "an arena of {} bytes", bytes);
  parts_.resize(static_cast<std::size_t>(world.node_size()));
  if (world.node_size() == 1) {
    allocate_alone(bytes);
  } else {
    allocate_shared(world, bytes);
  }
  // The first touch decides where pages lie and costs most of the time: once, here, by their owner.
  std::memset(base(), 0, static_cast<std::size_t>(bytes));
  MPI_Barrier(world.node_comm());
}

void SharedArena::allocate_alone(std::int64_t bytes) {
  own_bytes_ = round_up(bytes + 1, kAlignment);
  void* memory = mmap(nullptr, static_cast<std::size_t>(own_bytes_), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(memory != MAP_FAILED, Exit::kUsage,
        "expected {} bytes of memory for the exchange arena, found less; use more ranks or a "
        "smaller micro-batch",
        bytes);
  // Products read matrices in every direction: with small pages a twentieth of a step goes into
  // looking up where they lie. A wish only: the kernel may not grant it.
  madvise(memory, static_cast<std::size_t>(own_bytes_), MADV_HUGEPAGE);
  parts_[0] = {static_cast<std::byte*>(memory), bytes};
}

void SharedArena::allocate_shared(const World& world, std::int64_t bytes) {
  // Room for our own alignment: MPI puts the first part behind a header of its own.
  const std::int64_t wanted = bytes + kAlignment;
  struct {
    std::int64_t needed, found;
  } room{wanted, 0};
  MPI_Allreduce(MPI_IN_PLACE, &room.needed, 1, MPI_INT64_T, MPI_SUM, world.node_comm());
  // One rank looks, so that all ranks of the node decide alike.
  room.found = free_shared_memory();
  MPI_Bcast(&room.found, 1, MPI_INT64_T, 0, world.node_comm());
  check(room.found < 0 || room.needed <= room.found, Exit::kFile,
        "expected {} bytes free in {} for the memory that the {} ranks of this node share, found "
        "{}; enlarge it (mount -o remount,size=...), or use a smaller model part a node",
        room.needed, kSharedMemoryFolder, world.node_size(), room.found);

  MPI_Info info = MPI_INFO_NULL;
  MPI_Info_create(&info);
  MPI_Info_set(info, "alloc_shared_noncontig", "true");
  void* memory = nullptr;
  const int rc = MPI_Win_allocate_shared(wanted, 1, info, world.node_comm(), &memory, &window_);
  MPI_Info_free(&info);
  check(rc == MPI_SUCCESS, Exit::kPeer, "MPI_Win_allocate_shared of {} bytes returned {}", wanted,
        rc);

  std::vector<std::int64_t> sizes(parts_.size());
  MPI_Allgather(&bytes, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, world.node_comm());
  for (std::size_t r = 0; r < parts_.size(); ++r) {
    MPI_Aint part_bytes = 0;
    int unit = 0;
    void* part = nullptr;
    MPI_Win_shared_query(window_, static_cast<int>(r), &part_bytes, &unit, &part);
    // Maps may differ between processes by multiples of a page only: all align alike.
    parts_[r] = {align_up(part), sizes[r]};
  }
}

SharedArena::~SharedArena() {
  // Freeing a window waits for the node's other ranks, which a failing rank must not do.
  if (window_ != MPI_WIN_NULL && std::uncaught_exceptions() == 0) MPI_Win_free(&window_);
  if (own_bytes_ > 0) munmap(parts_[0].base, static_cast<std::size_t>(own_bytes_));
}

std::int64_t SharedArena::offset_of(const void* memory, std::int64_t bytes) const {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const auto begin = reinterpret_cast<std::uintptr_t>(base());
  if (address < begin) return -1;
  const auto offset = static_cast<std::int64_t>(address - begin);
  return offset + bytes <= this->bytes() ? offset : -1;
}

}  // namespace trireme::comm
