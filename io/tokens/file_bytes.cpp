#include "io/tokens/file_bytes.hpp"

#include "kernels/base/error.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trireme::io {

FileBytes::FileBytes(std::string path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  check(descriptor_ >= 0, Exit::kFile, "can't open '{}': {}: check the path", path_,
        std::strerror(errno));
  struct stat about {};
  const bool regular = ::fstat(descriptor_, &about) == 0 && S_ISREG(about.st_mode);
  if (!regular) ::close(std::exchange(descriptor_, -1));
  check(regular, Exit::kFile, "expected a regular file '{}', found a folder or a device", path_);
  size_ = about.st_size;
}

FileBytes::FileBytes(FileBytes&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

FileBytes::~FileBytes() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileBytes::read(std::int64_t offset, void* out, std::int64_t bytes) const {
  auto* next = static_cast<std::byte*>(out);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, next, static_cast<std::size_t>(bytes), offset);
    if (got < 0 && errno == EINTR) continue;
    check(got >= 0, Exit::kFile, "reading '{}' at byte {}: {}", path_, offset,
          std::strerror(errno));
    check(got > 0, Exit::kFile,
          "'{}' ends at byte {}, expected {} more: it is truncated or was changed while in use",
          path_, offset, bytes);
    next += got;
    offset += got;
    bytes -= got;
  }
}

MappedBytes::MappedBytes(const FileBytes& file, std::int64_t offset, std::int64_t bytes) {
  check(offset >= 0 && bytes >= 0 && offset + bytes <= file.size(), Exit::kFile,
        "'{}' has {} bytes, expected at least {}: it is truncated", file.path(), file.size(),
        offset + bytes);
  if (bytes == 0) return;
  const std::int64_t page = ::sysconf(_SC_PAGESIZE);
  const std::int64_t aligned = offset / page * page;
  mapped_ = static_cast<std::size_t>(offset - aligned + bytes);
  mapping_ = ::mmap(nullptr, mapped_, PROT_READ, MAP_SHARED, file.descriptor(), aligned);
  if (mapping_ == MAP_FAILED) mapping_ = nullptr;
  check(mapping_ != nullptr, Exit::kFile, "mapping {} bytes of '{}': {}", bytes, file.path(),
        std::strerror(errno));
  data_ = static_cast<const std::byte*>(mapping_) + (offset - aligned);
}

MappedBytes::~MappedBytes() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapped_);
}

}  // namespace trireme::io
