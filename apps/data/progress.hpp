#pragma once
// Progress of a pass over input files: a bar on a terminal, a plain line now and then elsewhere.

#include <chrono>
#include <cstdint>
#include <string>

namespace trireme::data {

class Progress {
 public:
  /// `what` is the verb, "tokenizing"; `total` bytes will be read. Writes to standard error.
  Progress(std::string what, std::int64_t total);
  /// Ends the bar's line, also when an error unwinds.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` bytes of input are dealt with; not thread-safe.
  void update(std::int64_t done);
  double seconds() const;

 private:
  void print(std::int64_t done);

  std::string what_;
  std::int64_t total_;
  bool terminal_;
  bool printed_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double next_ = 0;  ///< seconds after the start
};

}  // namespace trireme::data
