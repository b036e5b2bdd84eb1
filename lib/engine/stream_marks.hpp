#pragma once
// Which instructions of a program run in streams of the rank's GPU, and an event behind each.

#include "lib/engine/completion.hpp"
#include "lib/engine/executor.hpp"

#include <optional>

namespace trireme::engine {

/// Whether this is work of a stream where there is a GPU.
bool runs_in_stream(const program::Compiled& compiled, const program::Instruction& instruction);

/// Without a GPU nothing runs in a stream. Each lane's instructions are issued by one thread;
/// events are made once.
class StreamMarks {
 public:
  /// All references outlive this.
  StreamMarks(const program::Compiled& compiled, const std::vector<program::Instruction>& list,
              state::Store& store);

  bool in_stream(std::size_t instruction) const { return marks_[instruction].has_value(); }
  /// What an instruction's waits must be before it may be issued or, on the host, begin.
  Level needs(std::size_t instruction) const {
    return in_stream(instruction) ? Level::issued : Level::done;
  }
  /// What the device computes and the host waits for, in list order: where bytes are taken over.
  const std::vector<std::size_t>& awaited() const { return awaited_; }
  /// The stream of its lane; only where in_stream().
  Stream& stream(std::size_t instruction);

  /// A run starts now: times count from here.
  void begin();
  /// Before the work of an instruction is given to its stream: the work of those it waits for comes
  /// first, whatever stream that is in.
  void order(std::size_t instruction, const Completion& completion);
  /// Behind it.
  void record(std::size_t instruction) { marks_[instruction]->record(stream(instruction)); }
  /// The same within a graph of its stream that is being recorded: for settle() alone.
  void record_inside(std::size_t instruction) {
    marks_[instruction]->record_inside(stream(instruction));
  }
  /// Whether the work is done; throws what went wrong in it.
  bool done(std::size_t instruction) const { return marks_[instruction]->done(); }
  /// Behind a run: when the device ended each instruction, by its own clock, in place of when the
  /// host had issued it. The compute lane's intervals do not overlap.
  void settle(std::vector<Interval>& intervals) const;

 private:
  const std::vector<program::Instruction>& list_;
  state::DeviceTier* gpu_;
  std::vector<std::optional<Event>> marks_;  // by instruction
  std::vector<std::size_t> awaited_;
  std::optional<Event> zero_;
};

}  // namespace trireme::engine
