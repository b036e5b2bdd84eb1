// What all communicators share: the pool of operations, order, waiting, deadlines, counting.

#include "lib/comm/communicator.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/error.hpp"
#include "lib/comm/backoff.hpp"
#include "lib/comm/operation_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace trireme::comm {
namespace {

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

struct Communicator::Pool {
  std::vector<OperationState> states{static_cast<std::size_t>(kMaxInFlight)};
  std::vector<OperationState*> free;       // the last one given back is taken first
  std::vector<OperationState*> in_flight;  // in order of their calls
  std::size_t begun = 0;                   // the first `begun` of in_flight have begun

  Pool() {
    free.reserve(states.size());
    in_flight.reserve(states.size());
    for (OperationState& state : states) free.push_back(&state);
  }
  void give_back(OperationState* state) {
    const auto place = std::find(in_flight.begin(), in_flight.end(), state);
    if (static_cast<std::size_t>(place - in_flight.begin()) < begun) --begun;
    in_flight.erase(place);
    state->in_use = false;
    free.push_back(state);
  }
};

Communicator::Communicator(const Group& group, int index, const CommOptions& options, bool crowded,
                           Doorbell* doorbell)
    : group_(group),
      index_(index),
      options_(options),
      crowded_(crowded),
      doorbell_(doorbell),
      pool_(std::make_unique<Pool>()) {}

Communicator::~Communicator() = default;

void Communicator::reserve_messages(int most) {
  for (OperationState& state : pool_->states) {
    state.requests.reserve(static_cast<std::size_t>(most));
    state.peers.reserve(static_cast<std::size_t>(most));
  }
}

void Communicator::make_marks() {
  for (OperationState& state : pool_->states) state.mark.emplace();
}

bool Communicator::has_room() const { return !pool_->free.empty(); }

OperationState& Communicator::prepare(Operation operation, const void* source, void* target,
                                      std::int64_t count, DType dtype) {
  check(index_ >= 0, Exit::kUnexpected, "{} in a {} group that this rank is not in",
        name_of(operation), name_of(group_.kind));
  check(count >= 0, Exit::kUnexpected, "{} of {} elements", name_of(operation), count);
  // fail() behind an if: check() would make the group's text at every call.
  if (pool_->free.empty())
    fail(Exit::kUnexpected, "more than {} operations in flight in {}: complete some first",
         kMaxInFlight, group_.text());
  OperationState& state = *pool_->free.back();
  pool_->free.pop_back();
  state.operation = operation;
  state.source = static_cast<const std::byte*>(source);
  state.target = static_cast<std::byte*>(target);
  state.count = count;
  state.gap = 0;
  state.dtype = dtype;
  state.peer = 0;
  state.tag = 0;
  check(!state.reduces() || is_floating(dtype), Exit::kUnexpected,
        "expected f32, f64, bf16 or f16 in {}, found {}", name_of(operation), name_of(dtype));
  return state;
}

OperationState& Communicator::prepare(Operation operation, const void* source, void* target,
                                      const Parts& parts, DType dtype) {
  check(parts.part >= 0 && parts.part <= parts.stride, Exit::kUnexpected,
        "{} of parts of {} elements every {} elements: expected 0 <= part <= stride",
        name_of(operation), parts.part, parts.stride);
  // As if the parts were one contiguous buffer, with a gap behind each.
  OperationState& state =
      prepare(operation, source, target, checked_multiply(parts.part, size()), dtype);
  state.gap = parts.stride - parts.part;
  return state;
}

Request Communicator::start(OperationState& state) {
  if (state.peer < 0 || state.peer >= size())
    fail(Exit::kUnexpected, "{} with member {} of {}", name_of(state.operation), state.peer,
         group_.text());
  state.in_use = true;
  state.begun = state.moved_all = state.done = false;
  state.moved_bytes = 0;
  state.started = state.looked = Clock::now();
  state.waited = 0;
  pool_->in_flight.push_back(&state);
  begin_in_order();
  Request request;
  request.state_ = &state;
  return request;
}

Request Communicator::all_reduce(void* data, std::int64_t count, DType dtype) {
  return start(prepare(Operation::all_reduce, data, data, count, dtype));
}

Request Communicator::reduce_scatter(const void* whole, void* shard, std::int64_t count,
                                     DType dtype) {
  return start(prepare(Operation::reduce_scatter, whole, shard, count, dtype));
}

Request Communicator::reduce_scatter(const void* whole, void* shard, const Parts& parts,
                                     DType dtype) {
  return start(prepare(Operation::reduce_scatter, whole, shard, parts, dtype));
}

Request Communicator::all_gather(const void* shard, void* whole, std::int64_t count, DType dtype) {
  return start(prepare(Operation::all_gather, shard, whole, count, dtype));
}

Request Communicator::all_gather(const void* shard, void* whole, const Parts& parts, DType dtype) {
  return start(prepare(Operation::all_gather, shard, whole, parts, dtype));
}

Request Communicator::broadcast(void* data, std::int64_t count, DType dtype, int root) {
  OperationState& state = prepare(Operation::broadcast, data, data, count, dtype);
  state.peer = root;
  return start(state);
}

Request Communicator::send(const void* data, std::int64_t count, DType dtype, int to, int tag) {
  OperationState& state = prepare(Operation::send, data, nullptr, count, dtype);
  state.peer = to;
  state.tag = tag;
  return start(state);
}

Request Communicator::receive(void* data, std::int64_t count, DType dtype, int from, int tag) {
  OperationState& state = prepare(Operation::receive, nullptr, data, count, dtype);
  state.peer = from;
  state.tag = tag;
  return start(state);
}

Request Communicator::barrier() {
  return start(prepare(Operation::barrier, nullptr, nullptr, 0, DType::u8));
}

void Communicator::begin_in_order() {
  const CommFaults& faults = options_.faults;
  for (; pool_->begun < pool_->in_flight.size(); ++pool_->begun) {
    OperationState& state = *pool_->in_flight[pool_->begun];
    if (faults.start_delay_seconds > 0 && state.operation == faults.operation &&
        seconds_since(state.started) < faults.start_delay_seconds)
      return;  // and nobody overtakes it
    state.begun = true;
    begin(state);
  }
}

bool Communicator::step(OperationState& state) {
  if (state.done) return true;
  begin_in_order();
  if (state.begun && !state.moved_all && advance(state)) {
    state.moved_all = true;
    state.moved_at = Clock::now();
  }
  if (state.moved_all) {
    const CommFaults& faults = options_.faults;
    const bool late = faults.completion_delay_seconds > 0 && state.operation == faults.operation &&
                      seconds_since(state.moved_at) < faults.completion_delay_seconds;
    if (!late) {
      state.done = true;
      count(state);
    }
    return state.done;
  }
  if (options_.deadline_seconds <= 0) return false;
  // A process that was stopped and goes on did not wait meanwhile: one look counts for little.
  const auto now = Clock::now();
  const double passed = std::chrono::duration<double>(now - state.looked).count();
  state.looked = now;
  state.waited += std::min(passed, options_.deadline_seconds / 2);
  if (state.waited > options_.deadline_seconds)
    fail(Exit::kPeer, "waited longer than {} s: {}", options_.deadline_seconds, describe(state));
  return false;
}

void Communicator::count(const OperationState& state) {
  OperationTraffic& counted = traffic_[state.operation];
  ++counted.calls;
  counted.payload_bytes += payload_bytes(state.operation, state.count, state.element_bytes(),
                                         size(), index(), state.peer);
  counted.moved_bytes += state.moved_bytes;
  counted.seconds += seconds_since(state.started);
}

bool Communicator::progress(Request& request) {
  if (!request.state_) return true;
  if (!step(*request.state_)) return false;
  pool_->give_back(std::exchange(request.state_, nullptr));
  return true;
}

/// All operations of this communicator, of which `request` alone may be given back.
bool Communicator::progress_all(Request& request) {
  if (progress(request)) return true;
  for (OperationState* other : pool_->in_flight)
    if (other != request.state_) step(*other);
  return false;
}

void Communicator::wait(Request& request) {
  Backoff backoff(crowded_);
  while (!progress_all(request)) {
    if (all_await() == Awaits::nothing)
      backoff.reset();
    else if (!backoff.pause())
      sleep_until_news(request);
  }
}

Awaits Communicator::awaits(const Request& request) const {
  return request.state_ ? awaits(*request.state_) : Awaits::ring;
}

Awaits Communicator::awaits(const OperationState& state) const {
  if (state.done) return Awaits::ring;
  if (!state.begun || state.moved_all) return Awaits::poll;  // held back by a planted delay
  return awaited(state);
}

Awaits Communicator::all_await() const {
  Awaits first = Awaits::ring;
  for (const OperationState* state : pool_->in_flight) first = std::min(first, awaits(*state));
  return first;
}

void Communicator::sleep_until_news(Request& request) {
  if (!doorbell_) {  // a rank alone, held back by a planted delay
    std::this_thread::sleep_for(Doorbell::kPoll);
    return;
  }
  const std::uint32_t seen = doorbell_->approach();
  if (!progress_all(request)) {
    const Awaits first = all_await();
    if (first != Awaits::nothing)
      doorbell_->sleep(seen, Doorbell::kMover,
                       first == Awaits::poll ? Doorbell::kPoll : options_.look);
  }
  doorbell_->leave();
}

std::string Communicator::describe(const Request& request) const {
  return request.state_ ? describe(*request.state_) : "a completed operation";
}

std::string Communicator::describe(const OperationState& state) const {
  std::string text{name_of(state.operation)};
  if (state.operation != Operation::barrier)
    text += fmt::format(" of {} {}", state.count, name_of(state.dtype));
  if (state.gap > 0) text += fmt::format(" in parts {} apart", state.gap);
  if (!state.collective())
    text += fmt::format(" {} rank {} (tag {})", state.operation == Operation::send ? "to" : "from",
                        group_.rank(state.peer), state.tag);
  text +=
      fmt::format(" in {}, in flight for {:.1f} s; ", group_.text(), seconds_since(state.started));
  if (!state.begun) return text + "held back on this rank";
  if (state.moved_all) return text + "complete";
  return text + waiting_for(state);
}

}  // namespace trireme::comm
