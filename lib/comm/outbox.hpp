#pragma once
// What a rank has to send to others of its node, in memory that they see. Private to this folder.

#include "lib/comm/communicator.hpp"

#include <atomic>
#include <cstdint>

namespace trireme::comm {

enum class PostState : std::uint32_t {
  free,    ///< the sender may use it
  posted,  ///< the receiver has not found it yet
  taken,   ///< it has, and copies the bytes or receives them as a message
  copied,  ///< the bytes have arrived; the sender's buffer is its own again
};

/// One send that is not complete. Zeroed memory is a free one.
struct alignas(64) Post {
  std::atomic<PostState> state;
  std::int32_t to;     ///< node rank
  std::int32_t group;  ///< GroupKind: groups of the same ranks are channels of their own
  std::int32_t tag;
  std::uint64_t order;  ///< among this sender's
  std::int64_t offset;  ///< in the sender's arena; -1: it lies elsewhere and comes as a message
  std::int64_t bytes;
};

struct Outbox {
  /// As many as a communicator has operations in flight, so that sends need not wait for room.
  static constexpr int kPosts = Communicator::kMaxInFlight;

  alignas(64) std::atomic<std::uint64_t> made;  ///< posts so far: who saw this many saw them all
  std::atomic<std::int32_t> used;               ///< posts from here on have never been used
  Post posts[kPosts];
};

}  // namespace trireme::comm
