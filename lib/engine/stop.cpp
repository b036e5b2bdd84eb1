#include "lib/engine/stop.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>

namespace trireme::engine {
namespace {

constexpr std::array<int, 3> kSignals{SIGTERM, SIGINT, SIGUSR1};
constexpr std::int64_t kSameRequest = 2;  // seconds
std::atomic<int> g_caught{0};
std::atomic<std::int64_t> g_caught_at{0};
std::array<struct sigaction, kSignals.size()> g_before;

/// A later second signal takes its usual effect: whoever sends it twice does not want to wait.
void on_signal(int number) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  std::int64_t never = 0;
  if (g_caught_at.compare_exchange_strong(never, now.tv_sec)) {
    g_caught = number;
    return;
  }
  if (now.tv_sec - g_caught_at <= kSameRequest) return;
  constexpr char kText[] = "second signal: leaving without a new checkpoint\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kText, sizeof(kText) - 1);
  signal(number, SIG_DFL);
  raise(number);
}

}  // namespace

StopSignals::StopSignals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &g_before[i]);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &g_before[i], nullptr);
  g_caught = 0;
  g_caught_at = 0;
}

std::string StopSignals::caught() {
  switch (g_caught.load()) {
    case 0: return "";
    case SIGTERM: return "SIGTERM";
    case SIGINT: return "SIGINT";
    default: return "SIGUSR1";
  }
}

std::string StopWatch::reason(bool leads) const {
  if (const std::string signal = StopSignals::caught(); !signal.empty()) return signal;
  if (limits_.minutes) {
    const double minutes =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count() / 60;
    if (minutes >= *limits_.minutes) return fmt::format("{:g} minutes are over", *limits_.minutes);
  }
  if (!leads) return "";
  if (!limits_.file.empty() && std::filesystem::exists(limits_.file))
    return fmt::format("found {}", limits_.file.string());
  if (limits_.end_time) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const double left = *limits_.end_time - std::chrono::duration<double>(now).count();
    if (left <= pace_.reserve())
      return fmt::format(
          "{:.1f} s are left before the end time, {:.1f} s are kept for a step and "
          "a checkpoint",
          left, pace_.reserve());
  }
  return "";
}

}  // namespace trireme::engine
