#include "validation/unit/io/planted_kernel.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <unistd.h>

namespace trireme::test {

using io::aio::system_kernel;

int PlantedKernel::create(int depth, io_context_t& context) {
  return create_result != 0 ? create_result : system_kernel().create(depth, context);
}

int PlantedKernel::submit(io_context_t context, std::span<iocb*> requests) {
  const std::lock_guard lock(mutex_);
  const std::int64_t call = calls_++;
  if (answer)
    if (const int given = answer(call); given <= 0) return given;
  const std::size_t taken = std::min(requests.size(), most_at_once);
  for (iocb* request : requests.first(taken)) {
    offsets_.push_back(request->u.c.offset);
    if (hold)
      held_.push_back({context, request});
    else
      pass_on(context, request);
  }
  changed_.notify_all();
  return static_cast<int>(taken);
}

void PlantedKernel::pass_on(io_context_t context, iocb* request) {
  Fate decided;
  if (fate) decided = fate(*request, static_cast<std::int64_t>(offsets_.size()) - 1);
  int taken = 0;
  if (decided.result == Fate::kMove) {
    request->u.c.nbytes = std::min(request->u.c.nbytes, static_cast<unsigned long>(decided.bytes));
    taken = system_kernel().submit(context, {&request, 1});
    if (taken == 1) return;
    decided.result = taken;
  }
  io_event event{};
  event.data = request->data;
  event.obj = request;
  event.res = static_cast<unsigned long>(decided.result);
  made_up_[context].push_back(event);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored =
      ::write(static_cast<int>(request->u.c.resfd), &one, sizeof(one));
}

int PlantedKernel::reap(io_context_t context, std::span<io_event> events) {
  const std::lock_guard lock(mutex_);
  std::deque<io_event>& mine = made_up_[context];
  std::size_t count = 0;
  for (; count < events.size() && !mine.empty(); mine.pop_front()) events[count++] = mine.front();
  if (count == events.size()) return static_cast<int>(count);
  const int real = system_kernel().reap(context, events.subspan(count));
  return real < 0 ? real : static_cast<int>(count) + real;
}

void PlantedKernel::destroy(io_context_t context) { system_kernel().destroy(context); }

bool PlantedKernel::wait_for_held(std::size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return held_.size() >= count; });
}

std::size_t PlantedKernel::held() {
  const std::lock_guard lock(mutex_);
  return held_.size();
}

void PlantedKernel::release(std::size_t count) {
  const std::lock_guard lock(mutex_);
  for (; count > 0 && !held_.empty(); --count) {
    const Held next = held_.front();
    held_.pop_front();
    pass_on(next.context, next.request);
  }
}

void PlantedKernel::release_all() {
  {
    const std::lock_guard lock(mutex_);
    hold = false;
  }
  release(SIZE_MAX);
}

std::vector<std::int64_t> PlantedKernel::offsets() {
  const std::lock_guard lock(mutex_);
  return offsets_;
}

std::int64_t PlantedKernel::submit_calls() {
  const std::lock_guard lock(mutex_);
  return calls_;
}

}  // namespace trireme::test
