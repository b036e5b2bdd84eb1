#pragma once
// The one line that rank 0 keeps up to date: rewritten in place on a terminal, printed every N
// steps elsewhere.

#include "io/metrics/log_records.hpp"

#include <cstdint>
#include <string>

namespace trireme::engine {

class Progress {
 public:
  /// `speaks` on rank 0 only; a silent one prints nothing.
  Progress(bool speaks, std::int64_t total_steps, std::int64_t every);

  void step(const io::StepRecord& record, const std::string& breakdown);
  /// A message of its own line: evaluation, checkpoint, warning.
  void say(const std::string& text);
  /// Ends the line in place.
  void finish();

 private:
  bool speaks_;
  bool terminal_;
  bool open_line_ = false;
  std::int64_t total_;
  std::int64_t every_;
  double smoothed_seconds_ = 0;
};

}  // namespace trireme::engine
