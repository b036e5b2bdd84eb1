#pragma once
// How a lane waits without taking the core away from those who compute.

#include <sched.h>

#include <chrono>
#include <thread>

namespace trireme::comm {

/// Call pause() after each fruitless poll and reset() after a fruitful one: polls at once at first,
/// then yields the core to ranks and threads that share it, then sleeps. With more ranks than cores
/// yielding is what makes small operations quick; sleeping is what leaves long waits free.
class Backoff {
 public:
  void reset() { pauses_ = 0; }
  void pause() {
    ++pauses_;
    if (pauses_ <= kSpins) return;
    if (pauses_ <= kSpins + kYields) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(kSleepMicroseconds));
    }
  }

 private:
  static constexpr int kSpins = 50;
  static constexpr int kYields = 500;
  static constexpr int kSleepMicroseconds = 50;
  int pauses_ = 0;
};

}  // namespace trireme::comm
