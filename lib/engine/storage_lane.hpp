#pragma once
// The storage lane: loads of tokens and transfers between tiers, started in list order as soon as
// their own waits are met. Transfers of a swap file run on the threads of its engine, all that are
// in flight at once; copies between memory tiers and loads run here.
//
// With a GPU the copy lanes are here too, one for each direction: their copies are issued to a
// stream in list order, behind the work of other streams that they wait for.

#include "lib/engine/comm_lane.hpp"
#include "lib/engine/stream_marks.hpp"

#include <array>

namespace trireme::engine {

class StorageLane {
 public:
  /// Called with the position of a load instruction.
  using Load = std::function<void(std::size_t index)>;

  StorageLane(const program::Compiled& compiled, state::Store& store, const Place& place,
              Completion& completion, StreamMarks& marks, const std::atomic<bool>& applied,
              std::vector<Interval>& intervals, LiveMemory& live_memory,
              const ExecutorOptions& options, Load load);

  /// All transfers of one run. When another lane failed it returns early, but never before what is
  /// in flight has left its memory alone.
  void run(const Stopwatch& watch);

 private:
  /// Bytes that lie together in memory and, for a transfer, in the file.
  struct Piece {
    std::byte* from = nullptr;
    std::byte* to = nullptr;
    std::int64_t file_offset = -1;
    std::int64_t bytes = 0;
  };
  struct Operation {
    std::size_t index = 0;  // in the stage's list
    program::Kind kind = program::Kind::load;
    bool file_read = false;
    bool file_write = false;
    std::vector<Piece> pieces;
  };
  struct Transfer {
    io::aio::Transfer ticket;
    std::size_t owner = 0;  // index of its instruction
  };

  /// One lane's operations in list order, and the next one to start.
  struct Queue {
    std::vector<Operation> operations;
    std::size_t next = 0;
    double delay_seconds = 0;
  };

  Operation resolve(const program::Compiled& compiled, state::Store& store, std::size_t index,
                    const Place& place) const;
  static void resolve_unit(const program::Instruction& instruction, const program::Buffer& from,
                           const program::Buffer& to, state::Store& store, Operation& made);
  static void resolve_share(const program::Instruction& instruction, const program::Buffer& from,
                            const program::Buffer& to, state::Store& store, std::int64_t share,
                            Operation& made);
  bool start_ready(Queue& queue, const Stopwatch& watch);
  void begin(const Operation& operation, const Stopwatch& watch);
  void issue(const Operation& operation, const Stopwatch& watch);
  bool has_room(const Operation& operation) const;
  bool finished() const;
  bool collect(const Stopwatch& watch);
  bool collect_streams(const Stopwatch& watch);
  void sleep(std::uint32_t seen) const;
  void drain() noexcept;
  void complete(std::size_t index, const Stopwatch& watch);

  const std::vector<program::Instruction>& list_;
  state::Store& store_;
  Completion& completion_;
  StreamMarks& marks_;
  const std::atomic<bool>& applied_;
  std::vector<Interval>& intervals_;
  LiveMemory& live_memory_;
  Load load_;
  std::array<Queue, 3> queues_;         // storage, copies out, copies in
  std::size_t next_awaited_ = 0;        // of what the device computes
  std::vector<std::size_t> in_stream_;  // instructions that are issued, not known to be done
  std::vector<std::size_t> left_;       // by instruction: transfers in flight
  std::vector<Transfer> in_flight_;
};

}  // namespace trireme::engine
