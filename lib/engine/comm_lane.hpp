#pragma once
// The communication lane: starts operations in list order as soon as their own waits are met, keeps
// all that are in flight moving, and never blocks on one of them.
//
// Two threads can move it, one at a time: a thread of its own, so that communication goes on while
// others compute, and the compute lane's while that waits, so that nothing is handed from thread to
// thread when the rank has nothing else to do. Both sleep at the rank's doorbell.
//
// What goes over links between GPUs is work in a stream, issued in list order behind the work of
// other streams that it waits for; the lane looks at times whether it is done.

#include "lib/engine/completion.hpp"
#include "lib/engine/executor.hpp"
#include "lib/engine/stream_marks.hpp"

#include <chrono>
#include <mutex>

namespace trireme::engine {

using Clock = std::chrono::steady_clock;

/// Measures a program from its start.
struct Stopwatch {
  Clock::time_point zero = Clock::now();
  double now() const { return std::chrono::duration<double>(Clock::now() - zero).count(); }
};

/// What happens right before the agreement of the world starts, and right behind it.
struct Agreement {
  std::function<void()> before;
  std::function<void()> behind;
};

class CommLane {
 public:
  CommLane(const models::Model& model, const program::Compiled& compiled, state::Store& store,
           const comm::Communicators& communicators, const Place& place, Completion& completion,
           StreamMarks& marks, const std::atomic<bool>& applied, std::vector<Interval>& intervals,
           LiveMemory& live_memory, double delay_seconds, Agreement agreement);

  /// A new run, on no thread yet.
  void begin();
  /// On the lane's own thread: all communication of one run; returns early when another lane
  /// failed.
  void run(const Stopwatch& watch);
  /// On the compute lane: moves communication until `waits` are complete at `level`; false when
  /// another lane failed.
  bool help_until(std::span<const std::int32_t> waits, const Stopwatch& watch,
                  Level level = Level::done);
  /// On the compute lane, which has marked quietly what the lane wants and will not help now.
  void wake() { doorbell_.ring(comm::Doorbell::kAll); }
  /// A lane failed: what is on its way over links ends, so that neither this rank's streams nor its
  /// peers wait for it.
  void abandon() noexcept;

 private:
  /// Instructions that are awaited, and how complete they must be.
  struct Waits {
    std::span<const std::int32_t> instructions;
    Level level = Level::done;
    bool empty() const { return instructions.empty(); }
  };
  struct Operation {
    std::int32_t index = 0;  // in the stage's list
    program::Kind kind = program::Kind::send;
    bool world = false;
    comm::Communicator* communicator = nullptr;
    std::byte* from = nullptr;
    std::byte* to = nullptr;
    std::int64_t count = 0;
    DType dtype = DType::f32;
    comm::Parts parts;             // of a gather or reduction over the shard group
    std::span<std::byte> staging;  // of a reduction over links
    int peer = -1;
    int tag = 0;
  };
  struct InFlight {
    const Operation* operation = nullptr;
    comm::Request request;
  };

  Operation resolve(const models::Model& model, const program::Compiled& compiled,
                    state::Store& store, const comm::Communicators& communicators,
                    std::int32_t index) const;
  void resolve_unit(const program::Compiled& compiled, state::Store& store,
                    const program::Instruction& instruction, Operation& made) const;
  comm::Request start(const Operation& operation) const;
  bool may_start(const Operation& operation) const;
  void issue(const Operation& operation);
  bool finished() const { return next_ == operations_.size() && in_flight_.empty(); }
  Waits next_waits() const;
  bool move(const Stopwatch& watch);
  bool start_ready(const Stopwatch& watch);
  bool progress(const Stopwatch& watch);
  comm::Awaits awaits() const;
  void rest(std::unique_lock<std::mutex>& lock, Waits waits, const Stopwatch& watch);
  void stand_by();
  void hand_back();
  std::int32_t first_of(const Waits& waits) const {
    return completion_.first_not_done(waits.instructions, waits.level);
  }

  const std::vector<program::Instruction>& list_;
  Place place_;
  const comm::Communicators& communicators_;
  Completion& completion_;
  StreamMarks& marks_;
  const std::atomic<bool>& applied_;
  std::vector<Interval>& intervals_;
  LiveMemory& live_memory_;
  double delay_seconds_;
  Agreement agreement_;
  comm::Doorbell& doorbell_;
  bool crowded_;
  std::chrono::microseconds look_;
  std::vector<Operation> operations_;

  std::atomic<bool> helped_{false};  // the compute lane moves everything
  std::mutex moving_;                // held by the thread that does
  std::size_t next_ = 0;
  std::vector<InFlight> in_flight_;
};

}  // namespace trireme::engine
