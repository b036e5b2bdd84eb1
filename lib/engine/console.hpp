#pragma once
// Text for people on a descriptor, usually standard output, that never makes the caller wait.

#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace trireme::engine {

/// A thread of its own writes what it is given. Whoever reads the other end may stand still (a
/// stopped terminal; mpirun, which stops reading once it got a SIGTERM) or be gone, and ranks must
/// go on: what finds no room is left out, and how many lines that were is said when there is room
/// again. After an error of the descriptor nothing is written any more.
class Console {
 public:
  /// `descriptor` stays the caller's and must live until the process ends.
  explicit Console(int descriptor = STDOUT_FILENO);
  /// Waits for the reader a moment, not for ever.
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// Returns at once. `text` ends with its own line break.
  void write(std::string_view text);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  // the thread's too, which may outlive us in a write()
};

}  // namespace trireme::engine
