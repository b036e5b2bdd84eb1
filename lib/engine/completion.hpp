#pragma once
// Which instructions of the running program are complete, as the lanes tell each other.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

namespace trireme::engine {

class Completion {
 public:
  explicit Completion(std::size_t instructions)
      : done_(std::make_unique<std::atomic<std::uint32_t>[]>(instructions)) {}

  /// A new run: nothing is complete.
  void begin() { ++epoch_; }

  void mark(std::size_t instruction) {
    done_[instruction].store(epoch_, std::memory_order_release);
    signal();
  }
  bool is_done(std::int32_t instruction) const {
    return done_[static_cast<std::size_t>(instruction)].load(std::memory_order_acquire) == epoch_;
  }
  bool all_done(std::span<const std::int32_t> instructions) const {
    for (const std::int32_t i : instructions)
      if (!is_done(i)) return false;
    return true;
  }

  /// A lane failed: wait() returns false everywhere from now on.
  void abandon() {
    abandoned_.store(true, std::memory_order_release);
    signal();
  }
  /// Changes with every completed instruction.
  const std::atomic<std::uint32_t>& changes() const { return changes_; }
  bool abandoned() const { return abandoned_.load(std::memory_order_acquire); }

  /// Something from outside may let a lane go on: a transfer is complete.
  void wake() { signal(); }
  /// Sleeps until changes() is another than `seen`.
  void wait_change(std::uint32_t seen) const { changes_.wait(seen, std::memory_order_acquire); }

  /// Sleeps until all are complete; false when a lane failed.
  bool wait(std::span<const std::int32_t> instructions) const {
    for (;;) {
      const std::uint32_t seen = changes_.load(std::memory_order_acquire);
      if (abandoned()) return false;
      if (all_done(instructions)) return true;
      changes_.wait(seen, std::memory_order_acquire);
    }
  }

 private:
  void signal() {
    changes_.fetch_add(1, std::memory_order_release);
    changes_.notify_all();
  }

  std::unique_ptr<std::atomic<std::uint32_t>[]> done_;
  std::uint32_t epoch_ = 0;  // written between runs only
  std::atomic<std::uint32_t> changes_{0};
  std::atomic<bool> abandoned_{false};
};

}  // namespace trireme::engine
