#include "lib/engine/storage_lane.hpp"

#include <cstring>
#include <thread>

namespace trireme::engine {

using program::Buffer;
using program::Kind;
using program::Tier;

StorageLane::StorageLane(const program::Compiled& compiled, state::Store& store, const Place& place,
                         Completion& completion, const std::atomic<bool>& applied,
                         std::vector<Interval>& intervals, LiveMemory& live_memory,
                         double delay_seconds, Load load)
    : list_(compiled.stages[static_cast<std::size_t>(place.at.pipeline)].instructions),
      store_(store),
      completion_(completion),
      applied_(applied),
      intervals_(intervals),
      live_memory_(live_memory),
      delay_seconds_(delay_seconds),
      load_(std::move(load)),
      left_(list_.size(), 0) {
  std::size_t pieces = 0;
  for (std::size_t i = 0; i < list_.size(); ++i) {
    if (list_[i].lane != program::Lane::storage) continue;
    operations_.push_back(resolve(compiled, store, i, place));
    pieces += operations_.back().pieces.size();
  }
  in_flight_.reserve(pieces);
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
  if (instruction.unit >= 0) {
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

/// Elements of model state, by the runs that lie together on both sides.
void StorageLane::resolve_unit(const program::Instruction& instruction, const Buffer& from,
                               const Buffer& to, state::Store& store, Operation& made) {
  const std::int64_t size = from.bytes / from.elements.size();
  state::for_each_run(
      *store.unit(instruction.unit).unit, instruction.part, instruction.elements,
      store.seat().share, [&](const state::Run& run) {
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

bool StorageLane::start_ready(const Stopwatch& watch) {
  bool moved = false;
  while (next_ < operations_.size()) {
    const Operation& operation = operations_[next_];
    if (!completion_.all_done(list_[operation.index].waits) || !has_room(operation)) break;
    if (delay_seconds_ > 0)
      std::this_thread::sleep_for(std::chrono::duration<double>(delay_seconds_));
    begin(operation, watch);
    ++next_;
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

void StorageLane::run(const Stopwatch& watch) {
  next_ = 0;
  try {
    while (next_ < operations_.size() || !in_flight_.empty()) {
      const std::uint32_t seen = completion_.changes().load(std::memory_order_acquire);
      if (completion_.abandoned()) break;
      const bool started = start_ready(watch);
      const bool collected = collect(watch);
      if (!started && !collected) completion_.wait_change(seen);
    }
  } catch (...) {
    drain();
    throw;
  }
  drain();
}

}  // namespace trireme::engine
