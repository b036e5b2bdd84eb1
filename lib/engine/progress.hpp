#pragma once
// The one line that rank 0 keeps up to date: rewritten in place on a terminal, printed every N
// steps elsewhere.

#include "io/metrics/log_records.hpp"
#include "lib/engine/console.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace trireme::engine {

class Progress {
 public:
  /// `speaks` on rank 0 only; a silent one prints nothing. Nothing here waits for whoever reads.
  Progress(bool speaks, std::int64_t total_steps, std::int64_t every);

  void step(const io::StepRecord& record, const std::string& breakdown);
  /// A message of its own line: evaluation, checkpoint, warning.
  void say(const std::string& text);
  /// Ends the line in place, then prints `text` as it is.
  void print(const std::string& text);
  void finish() { print(""); }

 private:
  std::optional<Console> console_;  // when it speaks
  bool terminal_;
  bool open_line_ = false;
  std::int64_t total_;
  std::int64_t every_;
  double smoothed_seconds_ = 0;
};

}  // namespace trireme::engine
