#include "io/aio/file.hpp"

#include "io/aio/settings.hpp"
#include "kernels/base/checked.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace trireme::io::aio {
namespace {

/// Moves all of `bytes` by calls of `move`(address, count, offset), which may move less.
template <class Byte, class Move>
void move_all(const File& file, const char* doing, std::int64_t offset, std::span<Byte> bytes,
              const Move& move) {
  while (!bytes.empty()) {
    const ssize_t moved = move(bytes.data(), bytes.size(), offset);
    if (moved < 0 && errno == EINTR) continue;
    check(moved > 0, Exit::kFile, "{}: {} {} bytes at offset {}: {}", file.name(), doing,
          bytes.size(), offset,
          moved < 0 ? std::strerror(errno) : "the file ends before: it was cut off");
    bytes = bytes.subspan(static_cast<std::size_t>(moved));
    offset += moved;
  }
}

}  // namespace

File::~File() { close(); }

void File::close() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

bool File::set_direct(bool direct) {
  const int flags = ::fcntl(descriptor_, F_GETFL);
  return ::fcntl(descriptor_, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

void File::choose_direct(bool wished) {
  struct statfs about {};
  if (!wished) {
    why_buffered_ = "it was asked for";
  } else if (::fstatfs(descriptor_, &about) == 0 &&
             (about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC)) {
    why_buffered_ = "the folder lies in memory (tmpfs): what is put there takes memory, not disk";
  } else if (!set_direct(true)) {
    why_buffered_ = fmt::format("the file system refuses O_DIRECT ({})", std::strerror(errno));
  } else {
    alignas(kAlignment) std::array<std::byte, kAlignment> probe;
    if (::pread(descriptor_, probe.data(), probe.size(), 0) >= 0) return;
    why_buffered_ =
        fmt::format("reading {} bytes with O_DIRECT fails ({})", kAlignment, std::strerror(errno));
    set_direct(false);
  }
}

NamedFile::NamedFile(const std::filesystem::path& path, Mode mode, bool direct)
    : File(fmt::format("file '{}'", path.string())) {
  // Writing opens both ways, so that the probe can read.
  const int flags = (mode == Mode::read ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  descriptor_ = ::open(path.c_str(), flags);
  cached_ = ::open(path.c_str(), flags);
  struct stat about {};
  const bool known = descriptor_ >= 0 && cached_ >= 0 && ::fstat(descriptor_, &about) == 0;
  if (!known) {
    const int why = errno;
    if (cached_ >= 0) ::close(cached_);
    fail(Exit::kFile, "{} can't be opened to {}: {}", name_,
         mode == Mode::read ? "read it" : "write to it", std::strerror(why));
  }
  bytes_ = about.st_size;
  choose_direct(direct);
}

NamedFile::~NamedFile() { ::close(cached_); }

void NamedFile::read_cached(std::int64_t offset, std::span<std::byte> to) const {
  move_all(*this, "reading", offset, to, [&](std::byte* at, std::size_t count, std::int64_t from) {
    return ::pread(cached_, at, count, from);
  });
}

void NamedFile::write_cached(std::int64_t offset, std::span<const std::byte> from) {
  move_all(*this, "writing", offset, from,
           [&](const std::byte* at, std::size_t count, std::int64_t to) {
             return ::pwrite(cached_, at, count, to);
           });
}

}  // namespace trireme::io::aio
