#include "lib/engine/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace trireme::engine {
namespace {

std::string duration_text(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

bool on_terminal() {
  if (const char* wish = std::getenv("TRIREME_PROGRESS")) return std::string_view(wish) == "live";
  return isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

}  // namespace

Progress::Progress(bool speaks, std::int64_t total_steps, std::int64_t every)
    : terminal_(on_terminal()), total_(total_steps), every_(std::max<std::int64_t>(1, every)) {
  if (speaks) console_.emplace();
}

void Progress::step(const io::StepRecord& record, const std::string& breakdown) {
  smoothed_seconds_ =
      smoothed_seconds_ == 0 ? record.seconds : 0.9 * smoothed_seconds_ + 0.1 * record.seconds;
  if (!console_) return;
  const bool due = record.step % every_ == 0 || record.step == total_;
  if (!terminal_ && !due) return;
  const std::string line = fmt::format(
      "step {}/{}  loss {:.4f}  norm {:.3g}  lr {:.3g}  {:.0f} tokens/s  {:.1f} % of peak  {} left",
      record.step, total_, record.loss, record.grad_norm, record.lr, record.tokens_per_second,
      100 * record.mfu,
      duration_text(smoothed_seconds_ * static_cast<double>(total_ - record.step)));
  if (terminal_) {
    console_->write("\r\033[K" + line);
    open_line_ = true;
  } else {
    say(line);
  }
  if (due && !breakdown.empty()) say(breakdown);
}

void Progress::say(const std::string& text) { print(fmt::format("{} {}\n", io::utc_now(), text)); }

void Progress::print(const std::string& text) {
  if (!console_) return;
  console_->write(open_line_ ? "\n" + text : text);
  open_line_ = false;
}

}  // namespace trireme::engine
