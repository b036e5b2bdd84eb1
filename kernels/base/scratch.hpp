#pragma once
// Short-lived working memory of kernels: a stack of bytes for each thread that grows to its
// largest need and is then reused, so that steady-state steps allocate nothing.

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace trireme {

/// Memory taken through a frame lives until the frame ends. Frames nest; each belongs to the thread
/// that made it. Other threads may use the memory while the frame lives.
class ScratchFrame {
 public:
  ScratchFrame();
  ~ScratchFrame();
  ScratchFrame(const ScratchFrame&) = delete;
  ScratchFrame& operator=(const ScratchFrame&) = delete;

  /// `count` uninitialised elements, aligned to 64 bytes.
  template <class T>
  T* take(std::int64_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    return static_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }
  void* take_bytes(std::size_t bytes);

 private:
  std::size_t block_;
  std::size_t used_;
};

/// Bytes held by the scratch stacks of all threads (a figure of the memory report).
std::int64_t scratch_bytes();

}  // namespace trireme
