#pragma once
// How the engine cuts and submits transfers: the `aio` section of a deck, with DeepSpeed's names
// and defaults.

#include <cstdint>

namespace trireme::io::aio {

/// Address, file offset and length of every transfer are multiples of this: what O_DIRECT needs on
/// any device, and the unit of checksums.
inline constexpr std::int64_t kAlignment = 4096;

struct Settings {
  /// Bytes a request to the kernel; a transfer is cut into blocks of this size, the last one
  /// shorter.
  std::int64_t block_size = 1 << 20;
  /// Requests in flight at most, for each thread.
  std::int64_t queue_depth = 8;
  /// Threads, each with a context of its own; all blocks of all transfers are dealt to them
  /// (`intra_op_parallelism`).
  std::int64_t threads = 1;
  /// One system call a block instead of one for all that may start.
  bool single_submit = false;
  /// A block starts as soon as another completes; false: a thread waits for all it has started
  /// before it starts more.
  bool overlap_events = true;
  /// Transfers begun and not yet collected at most; more is an error of the caller.
  std::int64_t max_transfers = 256;
};

/// Exit::kUsage names the key of a setting that cannot be.
void check_settings(const Settings& settings);

}  // namespace trireme::io::aio
