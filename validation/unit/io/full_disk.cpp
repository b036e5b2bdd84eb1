// Stands in for libc's writing functions: the program's own definitions come first for all of its
// shared libraries (its target needs ENABLE_EXPORTS).

#include "validation/unit/io/full_disk.hpp"

#include <atomic>
#include <cerrno>

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

std::atomic<ino_t> g_full{0};  ///< the file, 0 = none

bool is_full(int descriptor) {
  struct stat about {};
  return g_full != 0 && fstat(descriptor, &about) == 0 && about.st_ino == g_full;
}

ssize_t no_space() {
  errno = ENOSPC;
  return -1;
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* data, size_t bytes) {
  return is_full(descriptor) ? no_space() : syscall(SYS_write, descriptor, data, bytes);
}
ssize_t pwrite(int descriptor, const void* data, size_t bytes, off_t offset) {
  return is_full(descriptor) ? no_space() : syscall(SYS_pwrite64, descriptor, data, bytes, offset);
}
ssize_t pwrite64(int descriptor, const void* data, size_t bytes, off64_t offset) {
  return pwrite(descriptor, data, bytes, offset);
}
ssize_t pwritev(int descriptor, const iovec* parts, int count, off_t offset) {
  return is_full(descriptor) ? no_space()
                             : syscall(SYS_pwritev, descriptor, parts, count, offset, 0);
}
ssize_t pwritev64(int descriptor, const iovec* parts, int count, off64_t offset) {
  return pwritev(descriptor, parts, count, offset);
}

}  // extern "C"

namespace trireme::test {

FullDisk::FullDisk(const std::string& path) {
  struct stat about {};
  if (stat(path.c_str(), &about) == 0) g_full = about.st_ino;
}
FullDisk::~FullDisk() { g_full = 0; }

}  // namespace trireme::test
