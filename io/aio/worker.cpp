#include "io/aio/worker.hpp"

#include "kernels/base/checked.hpp"

#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace trireme::io::aio {
namespace {

constexpr int kMostInterruptions = 1000;   // of one request, before its error is reported
constexpr int kPatienceMilliseconds = 10;  // between tries to submit when the kernel lacks memory
constexpr int kMostFruitlessSubmits = 300;

}  // namespace

Worker::Worker(const Settings& settings, Transfers& transfers, Kernel& kernel)
    : settings_(settings),
      transfers_(transfers),
      kernel_(kernel),
      all_(static_cast<std::size_t>(settings.queue_depth)),
      blocks_(all_.size()),
      events_(all_.size()) {
  free_.reserve(all_.size());
  ready_.reserve(all_.size());
  for (Request& request : all_) free_.push_back(&request);
  const int refused = kernel_.create(narrow<int>(settings.queue_depth), context_);
  check(refused == 0, Exit::kFile,
        "the kernel gives no context for {} asynchronous requests: {}: lower aio.queue_depth or "
        "aio.intra_op_parallelism, or raise fs.aio-max-nr",
        settings.queue_depth, std::strerror(-refused));
  eventfd_ = ::eventfd(0, EFD_CLOEXEC);
  try {
    check(eventfd_ >= 0, Exit::kFile, "the kernel gives no eventfd: {}: close some files",
          std::strerror(errno));
    thread_ = std::thread([this] { run(); });
  } catch (...) {
    release();
    throw;
  }
}

Worker::~Worker() {
  wake();
  thread_.join();
  release();
}

void Worker::release() noexcept {
  kernel_.destroy(context_);
  if (eventfd_ >= 0) ::close(eventfd_);
}

void Worker::wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(eventfd_, &one, sizeof(one));
}

void Worker::run() noexcept {
  try {
    serve();
  } catch (...) {
    transfers_.break_with(std::current_exception());
  }
}

void Worker::serve() {
  for (;;) {
    do submit();
    while (ready_.empty() && take());
    if (in_flight() == 0 && ready_.empty() && transfers_.closed()) return;
    sleep();
    reap();
  }
}

std::int64_t Worker::in_flight() const {
  return static_cast<std::int64_t>(all_.size() - free_.size() - ready_.size());
}

bool Worker::take() {
  if (!settings_.overlap_events && in_flight() > 0) return false;
  const std::size_t count = transfers_.take(std::span(blocks_).first(free_.size()));
  for (const Block& block : std::span(blocks_).first(count)) {
    Request& request = *free_.back();
    free_.pop_back();
    request.block = block;
    request.moved = 0;
    request.interruptions = 0;
    if (block.direction == Direction::write)
      block.file->remember(block.offset, {block.data, static_cast<std::size_t>(block.bytes)});
    start(request);
  }
  return count > 0;
}

/// Puts what is left of the request among those that are ready.
void Worker::start(Request& request) {
  const Block& block = request.block;
  const auto prepare = block.direction == Direction::read ? io_prep_pread : io_prep_pwrite;
  prepare(&request.call, block.file->descriptor(), block.data + request.moved,
          static_cast<std::size_t>(block.bytes - request.moved), block.offset + request.moved);
  io_set_eventfd(&request.call, eventfd_);
  request.call.data = &request;
  ready_.push_back(&request.call);
}

void Worker::submit() {
  while (!ready_.empty()) {
    const std::size_t most = settings_.single_submit ? 1 : ready_.size();
    const int count = kernel_.submit(context_, std::span(ready_).first(most));
    submits_.fetch_add(1, std::memory_order_relaxed);
    if (count == -EINTR) continue;
    if (count == -EAGAIN || count == 0) return no_memory_to_submit();
    fruitless_submits_ = 0;
    if (count > 0) {
      requests_.fetch_add(count, std::memory_order_relaxed);
      ready_.erase(ready_.begin(), ready_.begin() + count);
    } else {  // concerns the first
      auto& request = *static_cast<Request*>(ready_.front()->data);
      ready_.erase(ready_.begin());
      retire(request, trouble_of(request, Trouble::Kind::refused, -count));
    }
  }
}

/// The kernel had no memory for another request: tried again after a completion, or when nothing
/// is in flight after a while, but not for ever.
void Worker::no_memory_to_submit() {
  if (in_flight() > 0 || ++fruitless_submits_ < kMostFruitlessSubmits) return;
  fruitless_submits_ = 0;
  auto& request = *static_cast<Request*>(ready_.front()->data);
  ready_.erase(ready_.begin());
  retire(request, trouble_of(request, Trouble::Kind::refused, EAGAIN));
}

void Worker::sleep() {
  const bool starved = !ready_.empty() && in_flight() == 0;
  pollfd wait{eventfd_, POLLIN, 0};
  const int found = ::poll(&wait, 1, starved ? kPatienceMilliseconds : -1);
  check(found >= 0 || errno == EINTR, Exit::kUnexpected, "waiting for a disk: {}",
        std::strerror(errno));
  std::uint64_t news = 0;
  if (found > 0) [[maybe_unused]]
    const ssize_t ignored = ::read(eventfd_, &news, sizeof(news));
}

void Worker::reap() {
  for (;;) {
    const int count = kernel_.reap(context_, events_);
    if (count == -EINTR) continue;
    check(count >= 0, Exit::kUnexpected, "asking for completed requests: {}",
          std::strerror(-count));
    for (const io_event& event : std::span(events_).first(static_cast<std::size_t>(count)))
      completed(*static_cast<Request*>(event.data), static_cast<std::int64_t>(event.res));
    if (static_cast<std::size_t>(count) < events_.size()) return;
  }
}

void Worker::completed(Request& request, std::int64_t result) {
  const Block& block = request.block;
  if (result < 0) {
    const int error = static_cast<int>(-result);
    const bool again = error == EINTR || error == EAGAIN;
    if (again && ++request.interruptions < kMostInterruptions) return start(request);
    return retire(request, trouble_of(request, Trouble::Kind::refused, error));
  }
  // A remainder starts aligned again; the bytes before it are moved twice.
  const std::int64_t left = block.bytes - request.moved;
  const std::int64_t moved = result >= left ? left : result / kAlignment * kAlignment;
  request.moved += moved;
  if (moved == left) {
    const std::int64_t damaged =
        block.direction == Direction::write
            ? -1
            : block.file->first_damaged(block.offset,
                                        {block.data, static_cast<std::size_t>(block.bytes)});
    if (damaged < 0) return retire(request, {});
    return retire(request, {Trouble::Kind::damaged, 0, damaged, kAlignment});
  }
  if (moved == 0 && (result == 0 || ++request.interruptions >= kMostInterruptions))
    return retire(request, trouble_of(request, Trouble::Kind::ended));
  start(request);
}

Trouble Worker::trouble_of(const Request& request, Trouble::Kind kind, int error) const {
  const Block& block = request.block;
  return {kind, error, block.offset + request.moved, block.bytes - request.moved};
}

void Worker::retire(Request& request, const Trouble& trouble) {
  free_.push_back(&request);
  transfers_.finish(request.block, trouble);
}

}  // namespace trireme::io::aio
