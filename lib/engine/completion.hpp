#pragma once
// Which instructions of the running program are complete, as the lanes tell each other.

#include "lib/comm/doorbell.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

namespace trireme::engine {

class Completion {
 public:
  /// `doorbell`: where those sleep who move this rank's communication.
  Completion(std::size_t instructions, comm::Doorbell& doorbell)
      : done_(std::make_unique<std::atomic<std::uint32_t>[]>(instructions)), doorbell_(doorbell) {}

  /// A new run: nothing is complete.
  void begin() { ++epoch_; }

  /// An instruction is complete: all lanes that want to know are told.
  void mark(std::size_t instruction) {
    if (mark_quietly(instruction)) doorbell_.ring(comm::Doorbell::kAll);
  }
  /// The same without the doorbell: true when it ought to be rung.
  bool mark_quietly(std::size_t instruction) {
    done_[instruction].store(epoch_, std::memory_order_seq_cst);
    signal();
    for (const auto& wanted : wanted_)
      if (wanted.load(std::memory_order_seq_cst) == static_cast<std::int32_t>(instruction))
        return true;
    return false;
  }
  /// Before sleeping at the doorbell, and before the last look at is_done(): it shall ring when
  /// this instruction is complete; -1 for none. Two may want one each.
  void want(std::size_t who, std::int32_t instruction) {
    wanted_[who].store(instruction, std::memory_order_seq_cst);
  }
  bool is_done(std::int32_t instruction) const {
    return done_[static_cast<std::size_t>(instruction)].load(std::memory_order_seq_cst) == epoch_;
  }
  bool all_done(std::span<const std::int32_t> instructions) const {
    return first_not_done(instructions) < 0;
  }
  /// -1 when all are complete.
  std::int32_t first_not_done(std::span<const std::int32_t> instructions) const {
    for (const std::int32_t i : instructions)
      if (!is_done(i)) return i;
    return -1;
  }

  /// A lane failed: wait() returns false everywhere from now on.
  void abandon() {
    abandoned_.store(true, std::memory_order_release);
    signal();
    doorbell_.ring(comm::Doorbell::kAll);
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
  comm::Doorbell& doorbell_;
  std::array<std::atomic<std::int32_t>, 2> wanted_{-1, -1};
  std::uint32_t epoch_ = 0;  // written between runs only
  std::atomic<std::uint32_t> changes_{0};
  std::atomic<bool> abandoned_{false};
};

}  // namespace trireme::engine
