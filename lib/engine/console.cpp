#include "lib/engine/console.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

namespace trireme::engine {
namespace {

constexpr std::size_t kRoom = 64 << 10;  // bytes that may wait for their reader
constexpr std::chrono::seconds kPatience{1};

/// False when the other end is gone for good.
bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // whoever shares the descriptor made it non-blocking
      pollfd room{descriptor, POLLOUT, 0};
      poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

struct Console::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::string waiting;
  std::int64_t left_out = 0;  // lines
  bool writing = false;
  bool closing = false;
  bool broken = false;

  bool idle() const { return broken || (waiting.empty() && !writing); }
  void run(int descriptor);
};

void Console::Shared::run(int descriptor) {
  std::string text;
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [&] { return closing || !waiting.empty(); });
    if (waiting.empty()) return;
    text.swap(waiting);
    if (left_out > 0)
      text += fmt::format("... {} lines were left out: nobody read them\n", left_out);
    left_out = 0;
    writing = true;
    lock.unlock();
    const bool written = write_all(descriptor, text);
    text.clear();
    lock.lock();
    writing = false;
    broken = !written;
    changed.notify_all();
    if (broken) return;
  }
}

Console::Console(int descriptor) : shared_(std::make_shared<Shared>()) {
  // The thread takes no signals: those that ask to stop are others' to handle, and a reader that
  // is gone is then an error of write() instead of a deadly SIGPIPE.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([shared = shared_, descriptor] { shared->run(descriptor); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Console::~Console() {
  std::unique_lock lock(shared_->mutex);
  shared_->closing = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, kPatience, [&] { return shared_->idle(); });
}

void Console::write(std::string_view text) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->broken) return;
  const bool full = shared_->left_out > 0 || shared_->waiting.size() + text.size() > kRoom;
  if (full && !shared_->waiting.empty()) {
    shared_->left_out += std::max<std::int64_t>(1, std::count(text.begin(), text.end(), '\n'));
    return;
  }
  shared_->waiting += text;
  shared_->changed.notify_all();
}

}  // namespace trireme::engine
