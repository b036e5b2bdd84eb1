#include "kernels/base/process_memory.hpp"

#include "kernels/base/error.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

namespace trireme {
namespace {

/// A line "Name:   123 kB" of a file in /proc, as bytes; 0 when it is not there.
std::int64_t proc_bytes(const char* file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name)) return std::stoll(line.substr(name.size())) * 1024;
  return 0;
}

}  // namespace

std::int64_t proportional_set_bytes() { return proc_bytes("/proc/self/smaps_rollup", "Pss:"); }

std::int64_t peak_resident_bytes() { return proc_bytes("/proc/self/status", "VmHWM:"); }

std::int64_t bytes_in_memory(const void* begin, std::int64_t bytes) {
  if (bytes <= 0) return 0;
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  std::array<unsigned char, 4096> resident;  // a byte for each page of one call
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  const std::uintptr_t last = first + static_cast<std::uintptr_t>(bytes);
  std::int64_t found = 0;
  for (std::uintptr_t at = first / page * page; at < last; at += resident.size() * page) {
    const std::uintptr_t end = std::min(last, at + resident.size() * page);
    if (mincore(reinterpret_cast<void*>(at), end - at, resident.data()) != 0)
      fail(Exit::kUnexpected, "mincore of {} bytes: {}", end - at, std::strerror(errno));
    for (std::uintptr_t p = at; p < end; p += page)
      if (resident[(p - at) / page] & 1)
        found += static_cast<std::int64_t>(std::min(p + page, last) - std::max(p, first));
  }
  return found;
}

}  // namespace trireme
