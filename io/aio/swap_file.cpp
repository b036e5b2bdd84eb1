#include "io/aio/swap_file.hpp"

#include "io/aio/settings.hpp"
#include "io/checksum.hpp"
#include "kernels/base/checked.hpp"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace trireme::io::aio {
namespace {

std::uint32_t unit_checksum(const std::byte* unit) {
  return static_cast<std::uint32_t>(checksum(unit, kAlignment));
}

std::uint32_t checksum_of_zeros() {
  const std::array<std::byte, kAlignment> zeros{};
  return unit_checksum(zeros.data());
}

std::size_t unit_of(std::int64_t offset) { return static_cast<std::size_t>(offset / kAlignment); }

void check_size(const std::string& name, std::int64_t bytes) {
  check(bytes > 0 && bytes % kAlignment == 0, Exit::kUnexpected,
        "{}: expected a positive multiple of {} bytes, found {}", name, kAlignment, bytes);
}

/// Opens a file that has a name until the next line.
int open_and_unlink(const std::string& folder) {
  static std::atomic<int> number{0};
  const std::string path = fmt::format("{}/trireme-swap.{}.{}", folder, ::getpid(), number++);
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor >= 0) ::unlink(path.c_str());
  return descriptor;
}

std::string free_space_text(int descriptor) {
  struct statvfs about {};
  if (::fstatvfs(descriptor, &about) != 0) return "an unknown number of bytes";
  return fmt::format("{} bytes", static_cast<std::uint64_t>(about.f_bavail) * about.f_frsize);
}

}  // namespace

SwapFile::SwapFile(std::string folder, std::int64_t bytes, SwapOptions options)
    : File(fmt::format("swap file in '{}'", folder)),
      folder_(std::move(folder)),
      options_(options) {
  check_size(name_, bytes);
  open_without_name();
  choose_direct(options_.direct);
  grow(bytes);
}

void SwapFile::open_without_name() {
  if (options_.unnamed) descriptor_ = ::open(folder_.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  const bool unsupported = errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL;
  if (descriptor_ < 0 && (!options_.unnamed || unsupported)) descriptor_ = open_and_unlink(folder_);
  check(descriptor_ >= 0, Exit::kFile,
        "can't make a {}: {}: expected a folder that is there and may be written; create it or "
        "name another",
        name_, std::strerror(errno));
}

void SwapFile::grow(std::int64_t bytes) {
  check_size(name_, bytes);
  check(bytes >= bytes_, Exit::kUnexpected, "{}: can't grow from {} to {} bytes", name_, bytes_,
        bytes);
  if (options_.checksums) checksums_.reserve(unit_of(bytes));
  set_direct(false);  // libc writes single bytes where a file system can't allocate
  allocate(bytes_, bytes);
  if (direct()) set_direct(true);
  if (options_.checksums) checksums_.resize(unit_of(bytes), checksum_of_zeros());
  bytes_ = bytes;
}

void SwapFile::allocate(std::int64_t from, std::int64_t to) {
  if (from == to) return;
  int error = EINTR;
  while (error == EINTR) error = ::posix_fallocate(descriptor_, from, to - from);
  if (error == 0) return;
  if (direct()) set_direct(true);
  const std::string space = free_space_text(descriptor_);
  // Part of the space may have been taken; a failure to give it back changes nothing of the error.
  [[maybe_unused]] const int given_back = ::ftruncate(descriptor_, from);
  fail(Exit::kFile,
       "{}: can't allocate {} bytes at offset {}: {}: {} were free; free some, lower what is "
       "offloaded, or name a folder on a larger disk",
       name_, to - from, from, std::strerror(error), space);
}

void SwapFile::remember(std::int64_t offset, std::span<const std::byte> data) {
  if (!options_.checksums) return;
  std::size_t unit = unit_of(offset);
  for (std::size_t i = 0; i < data.size(); i += kAlignment)
    checksums_[unit++] = unit_checksum(data.data() + i);
}

std::int64_t SwapFile::first_damaged(std::int64_t offset, std::span<const std::byte> data) const {
  if (!options_.checksums) return -1;
  std::size_t unit = unit_of(offset);
  for (std::size_t i = 0; i < data.size(); i += kAlignment)
    if (checksums_[unit++] != unit_checksum(data.data() + i))
      return offset + static_cast<std::int64_t>(i);
  return -1;
}

}  // namespace trireme::io::aio
