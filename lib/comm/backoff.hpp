#pragma once
// How a lane waits without taking the core away from those who compute.

#include <sched.h>

#include <chrono>
#include <thread>

namespace trireme::comm {

/// Call pause() after each fruitless poll and reset() after a fruitful one: polls at once at first,
/// then yields the core to ranks and threads that share it, then sleeps. With more ranks than cores
/// (`crowded`) early yielding is what makes small operations quick: whoever is waited for needs the
/// core. Otherwise a yield may cost a time slice of somebody else's work, and polling goes on for
/// some ten microseconds first. Sleeping is what leaves long waits free.
class Backoff {
 public:
  explicit Backoff(bool crowded) : spins_(crowded ? kSpinsCrowded : kSpins) {}

  void reset() { pauses_ = 0; }
  void pause() {
    ++pauses_;
    if (pauses_ <= spins_) return;
    if (pauses_ <= spins_ + kYields) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(kSleepMicroseconds));
    }
  }

 private:
  static constexpr int kSpins = 400;
  static constexpr int kSpinsCrowded = 30;
  static constexpr int kYields = 500;
  static constexpr int kSleepMicroseconds = 50;
  int spins_;
  int pauses_ = 0;
};

}  // namespace trireme::comm
