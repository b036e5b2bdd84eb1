#pragma once
// Reasons to end this process before the run's length: signals, a file, the clock.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace trireme::engine {

/// Catches SIGTERM, SIGINT and SIGUSR1 while it lives. The first one asks for a checkpoint and exit
/// 10 after the running step; one more than two seconds later ends the process at once, without a
/// checkpoint. Sooner it is the same request: batch system and mpirun both deliver it.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// "SIGTERM" and so on; empty: none came.
  static std::string caught();
};

struct StopLimits {
  std::optional<double> minutes;   ///< of this process
  std::filesystem::path file;      ///< asks to stop once it exists
  std::optional<double> end_time;  ///< seconds since 1970: the process must be done by then
};

/// What steps and checkpoints took so far, seconds, each the slowest seen: what must still fit
/// before an end time.
class Pace {
 public:
  void stepped(double seconds) { step_ = std::max(step_, seconds); }  ///< evaluation included
  /// 0 is what a log without checkpoints says: nothing is known then.
  void saved(double seconds) {
    if (seconds > 0) save_ = std::max(save_.value_or(0), seconds);
  }
  bool knows_saving() const { return save_.has_value(); }
  /// A stop is decided before a step and comes behind it. Decided one step later it would come
  /// after two steps and, where a checkpoint is due between them, two checkpoints.
  double reserve() const { return 2 * step_ + 2 * save_.value_or(0); }

 private:
  double step_ = 0;
  std::optional<double> save_;
};

class StopWatch {
 public:
  StopWatch(StopLimits limits, std::chrono::steady_clock::time_point started)
      : limits_(std::move(limits)), started_(started) {}

  /// Why this rank wants to stop after the next step; empty: it does not. The file and the end
  /// time count on one rank, which `leads`: clocks of nodes differ.
  std::string reason(bool leads) const;

  Pace& pace() { return pace_; }
  /// Nobody knows yet how long a checkpoint takes, and an end time makes that matter.
  bool wants_trial_save() const { return limits_.end_time && !pace_.knows_saving(); }

 private:
  StopLimits limits_;
  std::chrono::steady_clock::time_point started_;
  Pace pace_;
};

}  // namespace trireme::engine
