#include "io/aio/pool.hpp"

#include "io/aio/settings.hpp"
#include "kernels/base/checked.hpp"

#include <cerrno>
#include <cstring>

#include <sys/mman.h>

namespace trireme::io::aio {

Pool::Pool(std::int64_t count, std::int64_t bytes)
    : count_(count), bytes_(round_up(bytes, kAlignment)) {
  check(count > 0 && bytes > 0, Exit::kUnexpected, "a pool of {} buffers of {} bytes", count,
        bytes);
  const auto size = static_cast<std::size_t>(checked_multiply(count_, bytes_));
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(memory != MAP_FAILED, Exit::kUnexpected, "no memory for {} buffers of {} bytes: {}", count_,
        bytes_, std::strerror(errno));
  ::madvise(memory, size, MADV_HUGEPAGE);  // fewer pages to pin for each request; a wish only
  memory_ = static_cast<std::byte*>(memory);
  std::memset(memory_, 0, size);
  free_.reserve(static_cast<std::size_t>(count_));
  for (std::int64_t i = count_; i-- > 0;) free_.push_back(memory_ + i * bytes_);
}

Pool::~Pool() { ::munmap(memory_, static_cast<std::size_t>(count_ * bytes_)); }

std::span<std::byte> Pool::take() {
  check(!free_.empty(), Exit::kUnexpected, "all {} buffers of the pool are taken", count_);
  std::byte* buffer = free_.back();
  free_.pop_back();
  return {buffer, static_cast<std::size_t>(bytes_)};
}

void Pool::give_back(std::span<std::byte> buffer) {
  const std::ptrdiff_t place = buffer.data() - memory_;
  check(place >= 0 && place < count_ * bytes_ && place % bytes_ == 0 && free() < count_,
        Exit::kUnexpected, "gave back a buffer that the pool did not give");
  free_.push_back(buffer.data());
}

}  // namespace trireme::io::aio
