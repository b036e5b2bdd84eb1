#pragma once
// The communication lane: starts operations in list order as soon as their own waits are met, keeps
// all that are in flight moving, and never blocks on one of them.

#include "lib/engine/completion.hpp"
#include "lib/engine/executor.hpp"

#include <chrono>

namespace trireme::engine {

using Clock = std::chrono::steady_clock;

/// Measures a program from its start.
struct Stopwatch {
  Clock::time_point zero = Clock::now();
  double now() const { return std::chrono::duration<double>(Clock::now() - zero).count(); }
};

class CommLane {
 public:
  CommLane(const models::Model& model, const program::Compiled& compiled, state::Store& store,
           const comm::Communicators& communicators, const Place& place, Completion& completion,
           const std::atomic<bool>& applied, std::vector<Interval>& intervals,
           LiveMemory& live_memory, double delay_seconds);

  /// All communication of one run; returns early when another lane failed. `before_world` runs
  /// right before the agreement of the world starts.
  void run(const Stopwatch& watch, const std::function<void()>& before_world);

 private:
  struct Operation {
    std::int32_t index = 0;  // in the stage's list
    program::Kind kind = program::Kind::send;
    bool world = false;
    comm::Communicator* communicator = nullptr;
    std::byte* from = nullptr;
    std::byte* to = nullptr;
    std::int64_t count = 0;
    DType dtype = DType::f32;
    comm::Parts parts;  // of a gather or reduction over the shard group
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
  bool start_ready(const Stopwatch& watch, const std::function<void()>& before_world);
  bool progress(const Stopwatch& watch);

  const std::vector<program::Instruction>& list_;
  Place place_;
  Completion& completion_;
  const std::atomic<bool>& applied_;
  std::vector<Interval>& intervals_;
  LiveMemory& live_memory_;
  double delay_seconds_;
  std::vector<Operation> operations_;
  std::size_t next_ = 0;
  std::vector<InFlight> in_flight_;
};

}  // namespace trireme::engine
