#include "lib/comm/watchdog.hpp"

#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <chrono>

namespace trireme::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLookSeconds = 0.1;

std::string_view file_of(const std::source_location& where) {
  const std::string_view path = where.file_name();
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

Watchdog::Watchdog(std::function<void(const std::string&)> end) : end_(std::move(end)) {
  sigset_t all;  // signals are for the threads that work
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  closing_changed_.notify_all();
  thread_.join();
}

Watchdog::Guard Watchdog::watch(const Work& work, std::source_location where) {
  const std::lock_guard lock(mutex_);
  if (depth_ == kDepth) fail(Exit::kUnexpected, "more than {} nested pieces of work", kDepth);
  const double around = depth_ > 0 ? entries_[depth_ - 1].seconds : limit_;
  entries_[depth_++] = {work, work.seconds > 0 ? work.seconds : around, where};
  changed_ = true;
  return Guard(this);
}

void Watchdog::leave() {
  const std::lock_guard lock(mutex_);
  --depth_;
  changed_ = true;
}

void Watchdog::set_limit(double seconds) {
  const std::lock_guard lock(mutex_);
  limit_ = seconds;
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  auto looked = Clock::now();
  while (!closing_) {
    closing_changed_.wait_for(lock, std::chrono::duration<double>(kLookSeconds));
    const auto now = Clock::now();
    const double passed = std::chrono::duration<double>(now - looked).count();
    looked = now;
    if (depth_ == 0 || closing_) continue;
    const Entry& top = entries_[depth_ - 1];
    const std::uint32_t beat = top.work.heartbeat ? top.work.heartbeat->load() : 0;
    // A process that was stopped and goes on did not wait meanwhile: one look counts for little.
    waited_ = changed_ || beat != heard_ ? 0 : waited_ + std::min(passed, top.seconds / 2);
    changed_ = false;
    heard_ = beat;
    if (waited_ <= top.seconds) continue;
    const std::string text = message(waited_);
    lock.unlock();  // the end may take guards of its own
    end_(text);
    return;
  }
}

std::string Watchdog::message(double waited) const {
  const Entry& top = entries_[depth_ - 1];
  std::string text = fmt::format("no progress for {:.1f} s (limit {:g} s):", waited, top.seconds);
  for (std::size_t i = 0; i < depth_; ++i) {
    const Entry& entry = entries_[i];
    text += fmt::format("{} {}", i > 0 ? "," : "", entry.work.what);
    if (entry.work.number >= 0) text += fmt::format(" {}", entry.work.number);
    text += fmt::format(" [{}:{}]", file_of(entry.where), entry.where.line());
  }
  return text +
         "; another rank stands still, one that does not say this, or a file system hangs: look at "
         "it, then go on with --resume";
}

}  // namespace trireme::comm
