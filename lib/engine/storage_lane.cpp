#include "lib/engine/storage_lane.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

namespace trireme::engine {

using program::Buffer;
using program::Kind;
using program::Tier;

namespace {

constexpr std::array kQueueLanes{program::Lane::storage, program::Lane::copy_out,
                                 program::Lane::copy_in};
/// Between two looks at copies on their way: their end wakes nobody.
constexpr std::chrono::microseconds kLook{20};

}  // namespace

StorageLane::StorageLane(const program::Compiled& compiled, state::Store& store, const Place& place,
                         Completion& completion, StreamMarks& marks,
                         const std::atomic<bool>& applied, std::vector<Interval>& intervals,
                         LiveMemory& live_memory, const ExecutorOptions& options, Load load)
    : list_(compiled.stages[static_cast<std::size_t>(place.at.pipeline)].instructions),
      store_(store),
      completion_(completion),
      marks_(marks),
      applied_(applied),
      intervals_(intervals),
      live_memory_(live_memory),
      load_(std::move(load)),
      left_(list_.size(), 0) {
  std::size_t pieces = 0;
  for (std::size_t q = 0; q < queues_.size(); ++q) {
    queues_[q].delay_seconds = options.delay_seconds[static_cast<std::size_t>(kQueueLanes[q])];
    for (std::size_t i = 0; i < list_.size(); ++i) {
      if (list_[i].lane != kQueueLanes[q]) continue;
      queues_[q].operations.push_back(resolve(compiled, store, i, place));
      pieces += queues_[q].operations.back().pieces.size();
    }
  }
  in_flight_.reserve(pieces);
  in_stream_.reserve(list_.size());
}

StorageLane::Operation StorageLane::resolve(const program::Compiled& compiled, state::Store& store,
                                            std::size_t index, const Place& place) const {
  const program::Instruction& instruction = list_[index];
  Operation made;
  made.index = index;
  made.kind = instruction.kind;
  if (made.kind == Kind::load) return made;
  const Buffer& from = compiled.buffers[static_cast<std::size_t>(instruction.reads[0])];
  const Buffer& to = compiled.buffers[static_cast<std::size_t>(instruction.writes[0])];
  made.file_read = from.tier == Tier::nvme;
  made.file_write = to.tier == Tier::nvme;
  if (instruction.part != program::Part::none) {
    resolve_unit(instruction, from, to, store, made);
  } else {  // all of both, or this rank's part of what it has whole
    const bool own_part = instruction.group == program::Group::tensor;
    const std::int64_t skipped = own_part ? place.at.tensor * to.bytes : 0;
    Piece piece;
    piece.bytes = to.bytes;
    if (made.file_read) piece.file_offset = from.offset + skipped;
    if (made.file_write) piece.file_offset = to.offset;
    if (!made.file_read) piece.from = store.at(from) + skipped;
    if (!made.file_write) piece.to = store.at(to);
    made.pieces.push_back(piece);
  }
  if (made.file_read || made.file_write)
    for (Piece& piece : made.pieces) piece.bytes = round_up(piece.bytes, io::aio::kAlignment);
  return made;
}

/// Elements of model state: the rank's own, or of shares another member's or all members'.
void StorageLane::resolve_unit(const program::Instruction& instruction, const Buffer& from,
                               const Buffer& to, state::Store& store, Operation& made) {
  if (instruction.group == program::Group::shard) {
    for (std::int64_t share = 0; share < store.unit(instruction.unit).unit->ranks; ++share)
      resolve_share(instruction, from, to, store, share, made);
    return;
  }
  resolve_share(instruction, from, to, store,
                instruction.peer >= 0 ? instruction.peer : store.seat().share, made);
}

/// By the runs that lie together on both sides.
void StorageLane::resolve_share(const program::Instruction& instruction, const Buffer& from,
                                const Buffer& to, state::Store& store, std::int64_t share,
                                Operation& made) {
  const std::int64_t size = from.bytes / from.elements.size();
  state::for_each_run(
      *store.unit(instruction.unit).unit, instruction.part, instruction.elements, share,
      [&](const state::Run& run) {
        const auto bytes_in = [&](const Buffer& buffer) {
          return state::element_in(buffer, instruction.part, run) * size;
        };
        Piece piece;
        piece.bytes = run.flat.size() * size;
        if (made.file_read) piece.file_offset = from.offset + bytes_in(from);
        if (made.file_write) piece.file_offset = to.offset + bytes_in(to);
        if (!made.file_read) piece.from = store.at(from) + bytes_in(from);
        if (!made.file_write) piece.to = store.at(to) + bytes_in(to);
        if (!made.pieces.empty()) {
          Piece& last = made.pieces.back();
          const bool together =
              (made.file_read || last.from + last.bytes == piece.from) &&
              (made.file_write || last.to + last.bytes == piece.to) &&
              (piece.file_offset < 0 || last.file_offset + last.bytes == piece.file_offset);
          if (together) {
            last.bytes += piece.bytes;
            return;
          }
        }
        made.pieces.push_back(piece);
      });
}

void StorageLane::complete(std::size_t index, const Stopwatch& watch) {
  intervals_[index].end = watch.now();
  live_memory_.finish(index);
  completion_.mark(index);
}

bool StorageLane::has_room(const Operation& operation) const {
  if (!operation.file_read && !operation.file_write) return true;
  const auto room = static_cast<std::size_t>(store_.transfers().settings().max_transfers);
  return in_flight_.empty() || in_flight_.size() + operation.pieces.size() <= room;
}

void StorageLane::begin(const Operation& operation, const Stopwatch& watch) {
  const std::size_t index = operation.index;
  intervals_[index].start = watch.now();
  const bool skipped = list_[index].when == program::When::applied && !applied_.load();
  if (!skipped) live_memory_.start(index);
  if (operation.kind == Kind::load) {
    load_(index);
  } else if (!skipped && !operation.pieces.empty() &&
             (operation.file_read || operation.file_write)) {
    for (const Piece& piece : operation.pieces) {
      const auto bytes = static_cast<std::size_t>(piece.bytes);
      in_flight_.push_back(
          {operation.file_read
               ? store_.transfers().read(store_.swap(), piece.file_offset, {piece.to, bytes})
               : store_.transfers().write(store_.swap(), piece.file_offset, {piece.from, bytes}),
           index});
      ++left_[index];
    }
    return;
  } else if (!skipped) {
    for (const Piece& piece : operation.pieces)
      std::memcpy(piece.to, piece.from, static_cast<std::size_t>(piece.bytes));
  }
  complete(index, watch);
}

/// Copies between the memories of a GPU and the host.
void StorageLane::issue(const Operation& operation, const Stopwatch& watch) {
  const std::size_t index = operation.index;
  intervals_[index].start = watch.now();
  if (list_[index].when == program::When::applied && !applied_.load()) {
    complete(index, watch);
    intervals_[index].end = intervals_[index].start;
    return;
  }
  live_memory_.start(index);
  const StreamScope scope(marks_.stream(index));
  marks_.order(index, completion_);
  for (const Piece& piece : operation.pieces) copy_bytes(piece.to, piece.from, piece.bytes);
  marks_.record(index);
  in_stream_.push_back(index);
  completion_.mark(index, Level::issued);
}

bool StorageLane::start_ready(Queue& queue, const Stopwatch& watch) {
  bool moved = false;
  while (queue.next < queue.operations.size()) {
    const Operation& operation = queue.operations[queue.next];
    const Level needs = marks_.needs(operation.index);
    if (!completion_.all_done(list_[operation.index].waits, needs) || !has_room(operation)) break;
    if (queue.delay_seconds > 0)
      std::this_thread::sleep_for(std::chrono::duration<double>(queue.delay_seconds));
    marks_.in_stream(operation.index) ? issue(operation, watch) : begin(operation, watch);
    ++queue.next;
    moved = true;
  }
  return moved;
}

bool StorageLane::collect_streams(const Stopwatch& watch) {
  const std::vector<std::size_t>& awaited = marks_.awaited();
  for (; next_awaited_ < awaited.size(); ++next_awaited_) {
    const auto instruction = static_cast<std::int32_t>(awaited[next_awaited_]);
    if (!completion_.is_done(instruction, Level::issued)) break;
    if (!completion_.is_done(instruction)) in_stream_.push_back(awaited[next_awaited_]);
  }
  bool moved = false;
  for (std::size_t i = 0; i < in_stream_.size();) {
    const std::size_t index = in_stream_[i];
    if (!marks_.done(index)) {
      ++i;
      continue;
    }
    in_stream_[i] = in_stream_.back();
    in_stream_.pop_back();
    if (list_[index].lane == program::Lane::compute)
      completion_.mark(index);
    else
      complete(index, watch);
    moved = true;
  }
  return moved;
}

bool StorageLane::collect(const Stopwatch& watch) {
  bool moved = false;
  for (std::size_t i = 0; i < in_flight_.size();) {
    const Transfer transfer = in_flight_[i];
    bool done = false;
    try {
      done = store_.transfers().test(transfer.ticket);
    } catch (...) {  // collected, and failed
      in_flight_[i] = in_flight_.back();
      in_flight_.pop_back();
      throw;
    }
    if (!done) {
      ++i;
      continue;
    }
    in_flight_[i] = in_flight_.back();
    in_flight_.pop_back();
    if (--left_[transfer.owner] == 0) complete(transfer.owner, watch);
    moved = true;
  }
  return moved;
}

void StorageLane::drain() noexcept {
  for (const Transfer& transfer : in_flight_) {
    left_[transfer.owner] = 0;
    try {
      store_.transfers().wait(transfer.ticket);
    } catch (const Error&) {
      // The first failure is on its way to the caller already.
    }
  }
  in_flight_.clear();
}

bool StorageLane::finished() const {
  return in_flight_.empty() && in_stream_.empty() && next_awaited_ == marks_.awaited().size() &&
         std::ranges::all_of(queues_, [](const Queue& q) { return q.next == q.operations.size(); });
}

/// Nothing was to be done at completion `seen`.
void StorageLane::sleep(std::uint32_t seen) const {
  if (in_stream_.empty())
    completion_.wait_change(seen);
  else
    std::this_thread::sleep_for(kLook);
}

void StorageLane::run(const Stopwatch& watch) {
  for (Queue& queue : queues_) queue.next = 0;
  in_stream_.clear();
  next_awaited_ = 0;
  try {
    while (!finished()) {
      const std::uint32_t seen = completion_.changes().load(std::memory_order_acquire);
      if (completion_.abandoned()) break;
      bool moved = false;
      for (Queue& queue : queues_) moved |= start_ready(queue, watch);
      moved |= collect(watch);
      moved |= collect_streams(watch);
      if (!moved) sleep(seen);
    }
  } catch (...) {
    drain();
    throw;
  }
  drain();
}

}  // namespace trireme::engine
