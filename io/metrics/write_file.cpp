#include "io/metrics/write_file.hpp"

#include "kernels/base/error.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace trireme::io {
namespace {

/// 0, or the errno of what went wrong.
int write_all(const std::filesystem::path& file, std::string_view text) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  int why = 0;
  while (!text.empty() && why == 0) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n > 0)
      text.remove_prefix(static_cast<std::size_t>(n));
    else if (n == 0)
      why = ENOSPC;
    else if (errno != EINTR)
      why = errno;
  }
  if (why == 0 && ::fsync(fd) != 0) why = errno;
  if (::close(fd) != 0 && why == 0) why = errno;
  return why;
}

}  // namespace

void write_file_atomically(const std::filesystem::path& file, std::string_view text) {
  std::filesystem::path temporary = file;
  temporary += fmt::format(".{}.tmp", ::getpid());
  int why = write_all(temporary, text);
  if (why == 0 && std::rename(temporary.c_str(), file.c_str()) != 0) why = errno;
  if (why == 0) return;
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);
  fail(Exit::kFile, "can't write {} ({} bytes): {}", file.string(), text.size(),
       std::strerror(why));
}

std::string read_file(const std::filesystem::path& file, std::string_view expected) {
  std::ifstream in(file, std::ios::binary);
  check(in.good(), Exit::kFile, "expected {} in {}, found no readable file: {}", expected,
        file.string(), std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  check(!in.bad(), Exit::kFile, "can't read {}: {}", file.string(), std::strerror(errno));
  return std::move(text).str();
}

}  // namespace trireme::io
