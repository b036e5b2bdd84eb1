#pragma once
// How long a thread that waits stays awake before it sleeps.

#include <sched.h>

namespace trireme::comm {

/// Call pause() after each fruitless poll and reset() after a fruitful one: polls at once at first,
/// then yields the core to ranks and threads that share it; false says that it is time to sleep.
/// With more ranks than cores (`crowded`) early yielding is what makes small operations quick:
/// whoever is waited for needs the core. Otherwise a yield may cost a time slice of somebody else's
/// work, and polling goes on for some ten microseconds first.
class Backoff {
 public:
  explicit Backoff(bool crowded) : spins_(crowded ? kSpinsCrowded : kSpins) {}

  void reset() { pauses_ = 0; }
  bool pause() {
    if (pauses_ >= spins_ + kYields) return false;
    if (++pauses_ > spins_) sched_yield();
    return true;
  }

 private:
  static constexpr int kSpins = 400;
  static constexpr int kSpinsCrowded = 30;
  static constexpr int kYields = 40;
  int spins_;
  int pauses_ = 0;
};

}  // namespace trireme::comm
