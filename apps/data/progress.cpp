#include "apps/data/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include <unistd.h>

namespace trireme::data {
namespace {

constexpr double kTerminalSeconds = 0.1;
constexpr double kPlainSeconds = 10;
constexpr std::size_t kBarWidth = 30;

}  // namespace

Progress::Progress(std::string what, std::int64_t total)
    : what_(std::move(what)), total_(total), terminal_(isatty(STDERR_FILENO) == 1) {
  next_ = terminal_ ? kTerminalSeconds : kPlainSeconds;
}

Progress::~Progress() {
  if (terminal_ && printed_) std::fputs("\n", stderr);
}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::update(std::int64_t done) {
  const bool last = done >= total_ && terminal_ && printed_;
  if (seconds() < next_ && !last) return;
  print(done);
  next_ = seconds() + (terminal_ ? kTerminalSeconds : kPlainSeconds);
}

void Progress::print(std::int64_t done) {
  const double share =
      total_ > 0 ? std::min(1.0, static_cast<double>(done) / static_cast<double>(total_)) : 1.0;
  const double speed = static_cast<double>(done) / 1e6 / std::max(seconds(), 1e-3);
  const std::string numbers =
      fmt::format("{:3.0f} %  {:.1f} of {:.1f} MB  {:.1f} MB/s", 100 * share,
                  static_cast<double>(done) / 1e6, static_cast<double>(total_) / 1e6, speed);
  if (terminal_) {
    const auto full = static_cast<std::size_t>(share * static_cast<double>(kBarWidth));
    const std::string bar = std::string(full, '#') + std::string(kBarWidth - full, '.');
    fmt::print(stderr, "\r{} [{}] {}   ", what_, bar, numbers);
    std::fflush(stderr);
  } else {
    fmt::print(stderr, "{} {}\n", what_, numbers);
  }
  printed_ = true;
}

}  // namespace trireme::data
