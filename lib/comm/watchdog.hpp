#pragma once
// Never a hang without a name: what a rank is at, and an end when it stays there too long.

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <source_location>
#include <string>
#include <string_view>
#include <thread>

namespace trireme::comm {

/// Watches the blocking work of one thread of a rank: what waits inside MPI, HDF5 or a file system
/// can't time itself out. Guards name the work and nest; only the innermost one's clock runs, and
/// it starts anew whenever a guard comes or goes. Past the limit a thread of the watchdog says
/// where the rank stands, calls what on_expiry() was given and then `end`, which ends the process.
/// Communicator operations have deadlines of their own (CommOptions), which know whom they wait
/// for.
class Watchdog {
 public:
  static constexpr double kInherit = 0;  ///< the enclosing guard's limit, outermost: set_limit()'s
  static constexpr double kDefaultSeconds = 600;

  /// A counter that changes while work gets on: each change starts the clock anew.
  using Heartbeat = std::atomic<std::uint32_t>;

  struct Work {
    std::string_view what;     ///< lives as long as the guard: "saving the checkpoint of step"
    std::int64_t number = -1;  ///< printed behind `what` unless negative
    double seconds = kInherit;
    const Heartbeat* heartbeat = nullptr;
  };

  class Guard {
   public:
    ~Guard() { dog_->leave(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    friend class Watchdog;
    explicit Guard(Watchdog* dog) : dog_(dog) {}
    Watchdog* dog_;
  };

  /// `end` gets the message when a limit is over, on the watchdog's thread, once.
  explicit Watchdog(std::function<void(const std::string&)> end);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// Watches until the guard is gone. Takes no memory. From one thread; no deeper than kDepth.
  [[nodiscard]] Guard watch(const Work& work,
                            std::source_location where = std::source_location::current());
  /// Of guards that give none and lie in none that does.
  void set_limit(double seconds);

 private:
  struct Entry {
    Work work;
    double seconds = 0;
    std::source_location where;
  };
  static constexpr std::size_t kDepth = 16;

  void leave();
  void run();
  std::string message(double waited) const;

  std::function<void(const std::string&)> end_;
  mutable std::mutex mutex_;
  std::condition_variable closing_changed_;
  bool closing_ = false;
  double limit_ = kDefaultSeconds;
  std::array<Entry, kDepth> entries_;
  std::size_t depth_ = 0;
  bool changed_ = false;     // a guard came or went since the last look
  std::uint32_t heard_ = 0;  // the heartbeat at the last look
  double waited_ = 0;        // seconds without a change
  std::thread thread_;
};

}  // namespace trireme::comm
