#include "lib/comm/doorbell.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

namespace trireme::comm {
namespace {

/// Not the private form: the word is shared between processes.
long futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
           const timespec* until, std::uint32_t mask) {
  return syscall(SYS_futex, &word, operation, value, until, nullptr, mask);
}

}  // namespace

bool Doorbell::sleep(std::uint32_t seen, Whom whom, std::chrono::microseconds most) {
  // This form of waiting takes a point in time, on the monotonic clock.
  timespec until{};
  clock_gettime(CLOCK_MONOTONIC, &until);
  const std::int64_t nanoseconds = until.tv_nsec + most.count() * 1000;
  until.tv_sec += nanoseconds / 1'000'000'000;
  until.tv_nsec = nanoseconds % 1'000'000'000;
  return futex(rings_, FUTEX_WAIT_BITSET, seen, &until, whom) == 0 || errno != ETIMEDOUT;
}

void Doorbell::wake(Whom whom) {
  rings_.fetch_add(1, std::memory_order_release);
  futex(rings_, FUTEX_WAKE_BITSET, INT_MAX, nullptr, whom);
}

}  // namespace trireme::comm
