#pragma once
// How a thread sleeps until another one, in this process or in another of its node, has news for
// it: no polling, and no system call while nobody sleeps.

#include <atomic>
#include <chrono>
#include <cstdint>

namespace trireme::comm {

/// Lies in memory that all ranks of the node see; zeroed memory is a doorbell nobody sleeps at.
///
/// The one who sleeps:                        The one who has news:
///   const auto seen = bell.approach();         write the news
///   if (look for news again, none)             bell.ring();
///     bell.sleep(seen, whom, most);
///   bell.leave();
///
/// News written before ring() are either seen by the second look or end the sleep.
class alignas(64) Doorbell {
 public:
  /// Whom a ring wakes: the thread that moves a rank's communication, another that stands by, both.
  enum Whom : std::uint32_t { kMover = 1, kStandby = 2, kAll = 3 };
  /// How long to sleep where nobody rings.
  static constexpr std::chrono::microseconds kPoll{50};

  void ring(Whom whom = kMover) {
    // Orders the news before the look at the sleepers, as approach() does the other way round.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_relaxed) != 0) wake(whom);
  }

  std::uint32_t approach() {
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return rings_.load(std::memory_order_acquire);
  }
  /// Sleeps unless a ring came since approach(). May return for no reason; false when `most` has
  /// passed without a ring.
  bool sleep(std::uint32_t seen, Whom whom, std::chrono::microseconds most);
  void leave() { sleepers_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  void wake(Whom whom);

  std::atomic<std::uint32_t> rings_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace trireme::comm
