#include "lib/engine/comm_lane.hpp"

#include "lib/comm/backoff.hpp"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace trireme::engine {
namespace {

using program::Group;
using program::Instruction;
using program::Kind;

comm::GroupKind kind_of(Group group) {
  switch (group) {
    case Group::tensor: return comm::GroupKind::tensor;
    case Group::data: return comm::GroupKind::data;
    case Group::tied: return comm::GroupKind::tied;
    case Group::world: return comm::GroupKind::world;
    case Group::shard: return comm::GroupKind::shard;
    case Group::replica: return comm::GroupKind::replica;
    case Group::none: break;
  }
  return comm::GroupKind::pipeline;
}

/// Asks for short turns on the core, which come soon: this thread has little to do at a time, and
/// others wait for it. From Linux 6.12 on; elsewhere the system's own choice stays.
void ask_for_short_turns() {
  struct {  // the first form of the kernel's sched_attr, which glibc does not declare yet
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t turn_nanoseconds, deadline, period;
  } scheduling{};
  if (syscall(SYS_sched_getattr, 0, &scheduling, sizeof(scheduling), 0) != 0) return;
  scheduling.turn_nanoseconds = 100'000;
  syscall(SYS_sched_setattr, 0, &scheduling, 0);
}

// Who wants to know of completed instructions.
constexpr std::size_t kLane = 0;
constexpr std::size_t kHelper = 1;

}  // namespace

CommLane::CommLane(const models::Model& model, const program::Compiled& compiled,
                   state::Store& store, const comm::Communicators& communicators,
                   const Place& place, Completion& completion, StreamMarks& marks,
                   const std::atomic<bool>& applied, std::vector<Interval>& intervals,
                   LiveMemory& live_memory, double delay_seconds, Agreement agreement)
    : list_(compiled.stages[static_cast<std::size_t>(place.at.pipeline)].instructions),
      place_(place),
      communicators_(communicators),
      completion_(completion),
      marks_(marks),
      applied_(applied),
      intervals_(intervals),
      live_memory_(live_memory),
      delay_seconds_(delay_seconds),
      agreement_(std::move(agreement)),
      doorbell_(communicators.doorbell()),
      crowded_(communicators.crowded()),
      look_(communicators.look()) {
  for (std::size_t i = 0; i < list_.size(); ++i)
    if (list_[i].lane == program::Lane::comm)
      operations_.push_back(
          resolve(model, compiled, store, communicators, static_cast<std::int32_t>(i)));
  in_flight_.reserve(operations_.size());
}

CommLane::Operation CommLane::resolve(const models::Model& model, const program::Compiled& compiled,
                                      state::Store& store, const comm::Communicators& communicators,
                                      std::int32_t index) const {
  const Instruction& instruction = list_[static_cast<std::size_t>(index)];
  const auto memory = [&](const std::vector<program::BufferId>& ids) {
    return ids.empty() ? nullptr : store.at(compiled.buffers[static_cast<std::size_t>(ids[0])]);
  };
  Operation made;
  made.index = index;
  made.kind = instruction.kind;
  made.world = instruction.group == Group::world;
  made.communicator = &communicators[kind_of(instruction.group)];
  if (compiled.over_links(instruction)) {
    made.communicator = &communicators.on_device(kind_of(instruction.group));
    if (instruction.writes.size() > 1) {
      const program::Buffer& staging =
          compiled.buffers[static_cast<std::size_t>(instruction.writes.back())];
      made.staging = {store.at(staging), static_cast<std::size_t>(staging.bytes)};
    }
  }
  made.from = memory(instruction.reads);
  made.to = memory(instruction.writes);
  made.peer = instruction.peer;
  made.tag = instruction.pass == program::Pass::backward ? 1 : 0;
  made.dtype = model.placement.compute;

  if (made.world) {
    made.dtype = DType::f64;
    made.count = static_cast<std::int64_t>(store.scalars().size());
    return made;
  }
  if (instruction.unit >= 0) {
    resolve_unit(compiled, store, instruction, made);
    return made;
  }
  if (instruction.step >= 0) {  // a collective of a block's plan
    const models::Block& block = model.blocks[static_cast<std::size_t>(instruction.block)];
    const auto& steps =
        instruction.pass == program::Pass::backward ? block.plan->backward : block.plan->forward;
    const nn::Slot slot = steps[static_cast<std::size_t>(instruction.step)].reads[0];
    made.dtype = block.plan->buffers[static_cast<std::size_t>(slot)].dtype;
  }
  made.count = instruction.bytes / static_cast<std::int64_t>(size_of(made.dtype));
  return made;
}

/// Elements of model state, or LAMB's norms of a unit's tensors.
void CommLane::resolve_unit(const program::Compiled& compiled, state::Store& store,
                            const Instruction& instruction, Operation& made) const {
  const auto buffer_at = [&](program::BufferId id) -> const program::Buffer& {
    return compiled.buffers[static_cast<std::size_t>(id)];
  };
  const program::Buffer& source = buffer_at(instruction.reads[0]);
  if (instruction.part == program::Part::none) {
    made.dtype = DType::f64;
    made.count = instruction.bytes / std::int64_t{sizeof(double)};
    return;
  }
  // The operation starts out in the compute dtype; all state but weights is f32.
  if (source.content != program::Purpose::weights) made.dtype = DType::f32;
  const auto size = static_cast<std::int64_t>(size_of(made.dtype));
  made.count = instruction.elements.size();
  const nn::Unit& unit = *store.unit(instruction.unit).unit;
  // Of a share inside the whole: its own place; peers' lie `chunk` elements on.
  const auto place = [&](std::byte*& memory, const program::Buffer& buffer, std::int64_t share) {
    const state::Run run{{unit.flat_of(instruction.elements.begin, share), 0},
                         instruction.elements.begin};
    memory += state::element_in(buffer, instruction.part, run) * size;
  };
  if (instruction.part != program::Part::share) {
    made.from += (instruction.elements.begin - source.elements.begin) * size;
    made.to = made.from;
    return;
  }
  const program::Buffer& target = buffer_at(instruction.writes[0]);
  const std::int64_t mine = made.kind == Kind::broadcast ? made.peer : store.seat().share;
  const bool gathers = made.kind == Kind::all_gather;
  const bool scatters = made.kind == Kind::reduce_scatter;
  place(made.from, source, scatters ? 0 : mine);
  place(made.to, target, gathers ? 0 : mine);
  if (gathers || scatters) made.parts = {instruction.elements.size(), unit.chunk};
}

comm::Request CommLane::start(const Operation& op) const {
  switch (op.kind) {
    case Kind::all_reduce: return op.communicator->all_reduce(op.from, op.count, op.dtype);
    case Kind::all_gather:
      return op.parts.part > 0 ? op.communicator->all_gather(op.from, op.to, op.parts, op.dtype)
                               : op.communicator->all_gather(op.from, op.to, op.count, op.dtype);
    case Kind::reduce_scatter:
      return op.parts.part > 0
                 ? op.communicator->reduce_scatter(op.from, op.to, op.parts, op.dtype)
                 : op.communicator->reduce_scatter(op.from, op.to, op.count, op.dtype);
    case Kind::broadcast: return op.communicator->broadcast(op.from, op.count, op.dtype, op.peer);
    case Kind::send: return op.communicator->send(op.from, op.count, op.dtype, op.peer, op.tag);
    case Kind::receive: return op.communicator->receive(op.to, op.count, op.dtype, op.peer, op.tag);
    default: break;
  }
  fail(Exit::kUnexpected, "a {} instruction on the communication lane", program::name_of(op.kind));
}

bool CommLane::may_start(const Operation& op) const {
  const auto index = static_cast<std::size_t>(op.index);
  return completion_.all_done(list_[index].waits, marks_.needs(index)) &&
         op.communicator->has_room();
}

/// Starts it, and where it goes over links gives it to their stream.
void CommLane::issue(const Operation& op) {
  const auto index = static_cast<std::size_t>(op.index);
  const bool in_stream = marks_.in_stream(index);
  if (in_stream) {
    marks_.order(index, completion_);
    op.communicator->lend(op.staging);
  }
  in_flight_.push_back({&op, start(op)});
  if (!in_stream) return;
  marks_.record(index);
  completion_.mark(index, Level::issued);
}

bool CommLane::start_ready(const Stopwatch& watch) {
  bool moved = false;
  while (next_ < operations_.size() && may_start(operations_[next_])) {
    const Operation& op = operations_[next_];
    if (delay_seconds_ > 0)
      std::this_thread::sleep_for(std::chrono::duration<double>(delay_seconds_));
    const Instruction& instruction = list_[static_cast<std::size_t>(op.index)];
    if (instruction.when == program::When::applied && !applied_.load()) {
      const auto index = static_cast<std::size_t>(op.index);
      intervals_[index].start = intervals_[index].end = watch.now();
      live_memory_.finish(index);
      completion_.mark(index);
      ++next_;
      moved = true;
      continue;
    }
    if (op.world) agreement_.before();
    live_memory_.start(static_cast<std::size_t>(op.index));
    intervals_[static_cast<std::size_t>(op.index)].start = watch.now();
    issue(op);
    ++next_;
    moved = true;
  }
  return moved;
}

bool CommLane::progress(const Stopwatch& watch) {
  bool moved = false;
  bool stream_busy = false;  // then what lies behind in it is not done either
  for (InFlight& flying : in_flight_) {
    const auto index = static_cast<std::size_t>(flying.operation->index);
    if (stream_busy && marks_.in_stream(index)) continue;
    if (!flying.operation->communicator->progress(flying.request)) {
      stream_busy |= marks_.in_stream(index);
      continue;
    }
    if (flying.operation->world) agreement_.behind();
    intervals_[index].end = watch.now();
    live_memory_.finish(index);
    completion_.mark(index);
    flying.operation = nullptr;
    moved = true;
  }
  if (moved) std::erase_if(in_flight_, [](const InFlight& f) { return f.operation == nullptr; });
  return moved;
}

/// Of the operation to be started next; empty when there is none.
CommLane::Waits CommLane::next_waits() const {
  if (next_ == operations_.size()) return {};
  const auto index = static_cast<std::size_t>(operations_[next_].index);
  return {list_[index].waits, marks_.needs(index)};
}

bool CommLane::move(const Stopwatch& watch) {
  const bool started = start_ready(watch);
  const bool moved = progress(watch);
  return started || moved || awaits() == comm::Awaits::nothing;
}

comm::Awaits CommLane::awaits() const {
  comm::Awaits first = comm::Awaits::ring;
  for (const InFlight& flying : in_flight_)
    first = std::min(first, flying.operation->communicator->awaits(flying.request));
  return first;
}

/// The caller, who holds the lock, found nothing to move: sleeps until there may be, or until
/// `waits` are complete when there are any.
void CommLane::rest(std::unique_lock<std::mutex>& lock, Waits waits, const Stopwatch& watch) {
  completion_.want(kLane, first_of(next_waits()));
  if (!waits.empty()) completion_.want(kHelper, first_of(waits));
  const std::uint32_t seen = doorbell_.approach();
  const bool news = move(watch) || completion_.abandoned() || (waits.empty() && helped_) ||
                    (!waits.empty() && first_of(waits) < 0);
  if (!news) {
    const bool polls = awaits() == comm::Awaits::poll;
    lock.unlock();
    doorbell_.sleep(seen, waits.empty() ? comm::Doorbell::kAll : comm::Doorbell::kMover,
                    polls ? comm::Doorbell::kPoll : look_);
    lock.lock();
  }
  doorbell_.leave();
  // What the lane wants stays: the other thread may sleep for it.
  if (!waits.empty()) completion_.want(kHelper, -1);
}

/// The lane's own thread sleeps while the compute lane moves everything.
void CommLane::stand_by() {
  const std::uint32_t seen = doorbell_.approach();
  if (helped_ && !completion_.abandoned()) doorbell_.sleep(seen, comm::Doorbell::kStandby, look_);
  doorbell_.leave();
}

void CommLane::abandon() noexcept {
  const std::lock_guard lock(moving_);
  communicators_.abandon_devices();
}

void CommLane::begin() {
  next_ = 0;
  in_flight_.clear();
  helped_ = false;
  completion_.want(kLane, -1);
}

void CommLane::run(const Stopwatch& watch) {
  ask_for_short_turns();
  while (!completion_.abandoned()) {
    if (helped_) {
      stand_by();
      continue;
    }
    // One piece at a time, so that the compute lane can take over.
    std::unique_lock lock(moving_);
    if (finished()) return;
    if (!move(watch)) rest(lock, {}, watch);
  }
}

bool CommLane::help_until(std::span<const std::int32_t> instructions, const Stopwatch& watch,
                          Level level) {
  if (delay_seconds_ > 0) {  // planted: the lane's own slowness must stay the lane's
    wake();
    return completion_.wait(instructions, level);
  }
  const Waits waits{instructions, level};
  helped_ = true;
  std::unique_lock lock(moving_);
  comm::Backoff backoff(crowded_);
  while (!completion_.abandoned() && first_of(waits) >= 0) {
    if (move(watch))
      backoff.reset();
    else if (!backoff.pause())
      rest(lock, waits, watch);
  }
  hand_back();
  return !completion_.abandoned();
}

/// To the lane's own thread, which may sleep on where nothing is to be moved until an instruction
/// of this rank is complete.
void CommLane::hand_back() {
  const Waits waits = next_waits();
  const std::int32_t awaited = first_of(waits);
  completion_.want(kLane, awaited);
  helped_ = false;
  if (!in_flight_.empty() || awaited < 0 || completion_.is_done(awaited, waits.level))
    doorbell_.ring(comm::Doorbell::kAll);
}

}  // namespace trireme::engine
