#pragma once
// The transfers of an engine: begun by its caller, taken block by block by its threads in the order
// they were begun, collected by the caller.

#include "io/aio/file.hpp"
#include "io/aio/settings.hpp"

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace trireme::io::aio {

/// Names a transfer until it is collected by wait(), or by a test() that said true.
struct Transfer {
  std::uint32_t slot = 0;
  std::uint32_t turn = 0;  // 0: no transfer
};

enum class Direction : std::uint8_t { read, write };

/// What became of a block, when it was not moved.
struct Trouble {
  enum class Kind : std::uint8_t { none, refused, ended, damaged };
  Kind kind = Kind::none;
  int error = 0;  ///< errno of `refused`
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

/// Part of a transfer, moved by one request unless the kernel moves less.
struct Block {
  std::uint32_t slot = 0;
  Direction direction = Direction::read;
  File* file = nullptr;
  std::int64_t offset = 0;
  std::byte* data = nullptr;
  std::int64_t bytes = 0;
};

/// Thread-safe. All memory is taken by the constructor.
class Transfers {
 public:
  Transfers(const Settings& settings, std::function<void()> on_complete);

  // ---- the caller's side: see Engine -----------------------------------------------------------
  Transfer begin(Direction direction, File& file, std::int64_t offset, std::byte* data,
                 std::int64_t bytes);
  bool full() const;
  bool test(Transfer transfer);
  void wait(Transfer transfer);
  std::size_t wait_any(std::span<const Transfer> transfers);

  // ---- the threads' side -----------------------------------------------------------------------
  /// Up to `blocks.size()` blocks, and at most this thread's share of those that have not started;
  /// how many. Does not wait. Blocks of a transfer that failed are not given out any more.
  std::size_t take(std::span<Block> blocks);
  /// A block given out by take() is moved, or will not be.
  void finish(const Block& block, const Trouble& trouble);
  /// A thread can't go on: everything waiting, now or later, throws this.
  void break_with(std::exception_ptr error) noexcept;
  /// Nothing starts any more; what has started is finished.
  void close();
  bool closed() const;

  struct Sums {
    std::int64_t transfers = 0;
    std::int64_t most_in_flight = 0;
    double busy_seconds = 0;
    struct OneWay {
      std::int64_t bytes = 0;
      std::int64_t blocks = 0;
      double busy_seconds = 0;
    };
    std::array<OneWay, 2> by_direction;
  };
  Sums sums() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Slot {
    Block rest;  // not given out yet
    std::int64_t unfinished_blocks = 0;
    std::uint32_t turn = 0;
    bool taken = false;
    Trouble trouble;
  };

  Slot& slot_of(Transfer transfer);
  void skip_front();
  void collect(Transfer transfer, std::unique_lock<std::mutex>& lock);
  void forget_front();

  const Settings settings_;
  const std::function<void()> on_complete_;
  mutable std::mutex mutex_;
  std::condition_variable completed_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> queue_;  // a ring: transfers with blocks to give out, oldest first
  std::size_t queue_front_ = 0;
  std::size_t queued_ = 0;
  std::int64_t blocks_to_start_ = 0;
  std::int64_t in_flight_ = 0;
  /// Transfers begun and not complete, and since when there are any.
  struct Active {
    std::int64_t transfers = 0;
    Clock::time_point since;

    void begin(Clock::time_point now) {
      if (transfers++ == 0) since = now;
    }
    /// Adds the time to `busy` when none is left.
    void end(Clock::time_point now, double& busy) {
      if (--transfers == 0) busy += std::chrono::duration<double>(now - since).count();
    }
    double so_far(Clock::time_point now) const {
      return transfers > 0 ? std::chrono::duration<double>(now - since).count() : 0;
    }
  };
  Active active_;
  std::array<Active, 2> active_by_direction_;
  std::exception_ptr broken_;
  bool closed_ = false;
  Sums sums_;
};

}  // namespace trireme::io::aio
