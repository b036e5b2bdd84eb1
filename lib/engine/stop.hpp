#pragma once
// Reasons to end this process before the run's length: signals, a file, the clock.

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
  std::optional<double> minutes;  ///< of this process
  std::filesystem::path file;     ///< asks to stop once it exists
};

class StopWatch {
 public:
  StopWatch(StopLimits limits, std::chrono::steady_clock::time_point started)
      : limits_(std::move(limits)), started_(started) {}

  /// Why this rank wants to stop after the next step; empty: it does not. `look_for_file` on one
  /// rank only.
  std::string reason(bool look_for_file) const;

 private:
  StopLimits limits_;
  std::chrono::steady_clock::time_point started_;
};

}  // namespace trireme::engine
