#pragma once
// Transfers between memory and swap files that run while their caller does something else (libaio).
//
//   io::aio::Engine engine(settings);
//   io::aio::SwapFile file(folder, bytes);
//   const io::aio::Transfer write = engine.write(file, offset, slice);  // returns at once
//   ...                                                                 // slice is the engine's
//   engine.wait(write);                                                 // slice is the caller's

#include "io/aio/file.hpp"
#include "io/aio/settings.hpp"
#include "io/aio/transfers.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

namespace trireme::io::aio {

class Kernel;
class Worker;

/// What an engine has done since it was made.
struct Counters {
  std::int64_t transfers = 0;
  std::int64_t bytes_read = 0;      ///< of blocks completed without error
  std::int64_t bytes_written = 0;   ///< likewise
  std::int64_t requests = 0;        ///< handed to the kernel; more than blocks when it moved parts
  std::int64_t submits = 0;         ///< calls that handed them over
  std::int64_t most_in_flight = 0;  ///< blocks given to threads and not completed, at most
  std::int64_t threads_used = 0;    ///< threads that handed over any
  std::int64_t blocks_read = 0;     ///< of aio.block_size at most; those of the bytes above
  std::int64_t blocks_written = 0;
  double busy_seconds = 0;   ///< with at least one transfer begun and not complete
  double read_seconds = 0;   ///< the same of reads alone; both run at once
  double write_seconds = 0;  ///< and of writes
};

/// Moves bytes straight between the caller's memory and files, with no copy between.
///
/// Order: blocks start in the order in which their transfers were begun; transfers complete in any
/// order. Two transfers in flight may not overlap in memory or file, unless both read the file.
/// Memory: everything is allocated by the constructor; a transfer allocates nothing (an error
/// does). Errors: of a transfer, Exit::kFile from the wait() or test() that collects it, with file,
/// offset, length and what to do; the first one when several of its blocks fail. Its other blocks
/// that have not started are dropped, the contents of its range are undefined, other transfers are
/// not touched and the engine stays usable. Requests that cannot be are the caller's
/// (Exit::kUnexpected) and throw where they are made. Threads: any thread may call; a transfer is
/// collected once, by one of them. Nobody spins.
class Engine {
 public:
  /// `on_complete` runs on a thread of the engine after each transfer that became complete, well or
  /// not, and must be short and not throw: a lane that also waits for other lanes is told by it.
  /// Exit::kUsage for settings that cannot be, Exit::kFile when the kernel gives no contexts.
  explicit Engine(const Settings& settings, std::function<void()> on_complete = {});
  /// With another kernel, which outlives the engine: for tests.
  Engine(const Settings& settings, std::function<void()> on_complete, Kernel& kernel);
  /// Blocks that have not started are dropped; waits for those that have.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Begins to move all of `to` or `from`, which the engine owns until the transfer is collected;
  /// returns at once. Address, offset and length are multiples of kAlignment and lie in the file.
  /// With max_transfers not collected (full()) Exit::kUnexpected.
  Transfer read(File& file, std::int64_t offset, std::span<std::byte> to);
  Transfer write(File& file, std::int64_t offset, std::span<const std::byte> from);
  bool full() const { return transfers_.full(); }

  /// Whether the transfer is complete; then it is collected, and throws if it failed.
  bool test(Transfer transfer) { return transfers_.test(transfer); }
  /// Sleeps until the transfer is complete and collects it; throws if it failed.
  void wait(Transfer transfer) { transfers_.wait(transfer); }
  /// Sleeps until one of these is complete, well or not; its place. Collects nothing.
  std::size_t wait_any(std::span<const Transfer> transfers) {
    return transfers_.wait_any(transfers);
  }

  Counters counters() const;
  const Settings& settings() const { return settings_; }

 private:
  Transfer begin(Direction direction, File& file, std::int64_t offset, std::byte* data,
                 std::size_t bytes);

  Settings settings_;
  Transfers transfers_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace trireme::io::aio
