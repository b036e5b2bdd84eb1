#pragma once
// Memory of benchmarks: fresh pages, huge ones where the system has them, as the arena of a run.

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <span>

namespace trireme::perf {

/// Not touched yet, zero when read; given back at the end.
class Pages {
 public:
  explicit Pages(std::size_t bytes) : bytes_(bytes) {
    memory_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) std::abort();
    madvise(memory_, bytes, MADV_HUGEPAGE);
  }
  ~Pages() { munmap(memory_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  std::byte* data() const { return static_cast<std::byte*>(memory_); }
  std::span<float> floats() const { return {static_cast<float*>(memory_), bytes_ / sizeof(float)}; }

 private:
  std::size_t bytes_;
  void* memory_;
};

}  // namespace trireme::perf
