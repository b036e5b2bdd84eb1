#include "io/metrics/append_file.hpp"

#include "kernels/base/error.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace trireme::io {

AppendFile::AppendFile(std::filesystem::path path)
    : path_(std::move(path)),
      fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  check(fd_ >= 0, Exit::kFile, "can't open {} for appending: {}", path_.string(),
        std::strerror(errno));
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) ::close(fd_);
}

void AppendFile::append(std::string_view record) {
  const off_t begin = ::lseek(fd_, 0, SEEK_END);
  std::size_t done = 0;
  while (done < record.size()) {
    const ssize_t n = ::write(fd_, record.data() + done, record.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int why = n < 0 ? errno : ENOSPC;
      // Whole records only: a reader must not meet half a record before the next run's records.
      if (done > 0 && begin >= 0 && ::ftruncate(fd_, begin) != 0) {
        fail(Exit::kFile, "can't append to {}: {}; its last record is torn", path_.string(),
             std::strerror(why));
      }
      fail(Exit::kFile, "can't append {} bytes to {}: {}", record.size(), path_.string(),
           std::strerror(why));
    }
    done += static_cast<std::size_t>(n);
  }
}

void AppendFile::sync() {
  check(::fsync(fd_) == 0, Exit::kFile, "can't flush {} to disk: {}", path_.string(),
        std::strerror(errno));
}

}  // namespace trireme::io
