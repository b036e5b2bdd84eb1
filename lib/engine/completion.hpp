#pragma once
// Which instructions of the running program are complete, as the lanes tell each other.
//
// An instruction of the host is complete when it is done. One of a GPU is issued first: all of its
// work is in a stream, behind which other streams may order theirs; the host's work waits until it
// is done.

#include "lib/comm/doorbell.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

namespace trireme::engine {

enum class Level : std::uint8_t { issued, done };

class Completion {
 public:
  /// `doorbell`: where those sleep who move this rank's communication.
  Completion(std::size_t instructions, comm::Doorbell& doorbell)
      : done_(std::make_unique<std::atomic<std::uint32_t>[]>(instructions)), doorbell_(doorbell) {}

  /// A new run: nothing is complete.
  void begin() { epoch_ += 2; }

  /// An instruction is complete: all lanes that want to know are told.
  void mark(std::size_t instruction, Level level = Level::done) {
    if (mark_quietly(instruction, level)) doorbell_.ring(comm::Doorbell::kAll);
  }
  /// The same without the doorbell: true when it ought to be rung.
  bool mark_quietly(std::size_t instruction, Level level = Level::done) {
    done_[instruction].store(mark_of(level), std::memory_order_seq_cst);
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
  bool is_done(std::int32_t instruction, Level level = Level::done) const {
    return done_[static_cast<std::size_t>(instruction)].load(std::memory_order_seq_cst) >=
           mark_of(level);
  }
  bool all_done(std::span<const std::int32_t> instructions, Level level = Level::done) const {
    return first_not_done(instructions, level) < 0;
  }
  /// -1 when all are complete.
  std::int32_t first_not_done(std::span<const std::int32_t> instructions,
                              Level level = Level::done) const {
    for (const std::int32_t i : instructions)
      if (!is_done(i, level)) return i;
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
  bool wait(std::span<const std::int32_t> instructions, Level level = Level::done) const {
    for (;;) {
      const std::uint32_t seen = changes_.load(std::memory_order_acquire);
      if (abandoned()) return false;
      if (all_done(instructions, level)) return true;
      changes_.wait(seen, std::memory_order_acquire);
    }
  }

 private:
  /// Grows from run to run; marks of earlier runs lie below.
  std::uint32_t mark_of(Level level) const { return epoch_ + (level == Level::done ? 1 : 0); }
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
