#pragma once
// Collectives among ranks of one node through shared memory: members announce their buffers in a
// control block, and whoever has time moves the data in place. Private to this folder.
//
// The control block is a ring of kSlots slots. Operation number q uses slot q % kSlots, once all
// members have left operation q - kSlots:
//   1. each member announces itself: what it does, where its buffers lie in its arena, for small
//      operations the payload itself;
//   2. once all have, every member knows the mode (same facts, same choice) and checks that all do
//      the same operation;
//   3. small: each member reads all payloads and computes its own result;
//      direct: each member has a share of the work, one contiguous region cut into chunks; it
//      claims chunks of its own region first, then of the others', so that a member that waits for
//      a core delays nobody. Which member does a chunk changes no bit;
//      messages: some buffer lies outside the arena; the message path takes over;
//   4. each member leaves; the last to leave opens the slot for operation q + kSlots.
//
// Who makes news that others may sleep for rings their doorbells: the last to announce, the one who
// does the last chunk, and the last to leave a slot that somebody waits for.

#include "lib/comm/arena.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/comm/node_seats.hpp"
#include "lib/comm/operation_state.hpp"

#include <mpi.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace trireme::comm {

class SharedPath {
 public:
  /// Collective over `members`, which all must be on one node; `node_ranks` are their positions in
  /// the node, by group index.
  SharedPath(MPI_Comm members, std::vector<int> node_ranks, const Group& group, int index,
             const CommFaults& faults, const NodeSeats& seats);
  ~SharedPath();
  SharedPath(const SharedPath&) = delete;
  SharedPath& operator=(const SharedPath&) = delete;

  void attach(const SharedArena* arena) { arena_ = arena; }

  /// Operations in order of their sequence numbers.
  void begin(OperationState& op);
  /// Announces and decides what can be, in order, whichever operation is asked about. Calls
  /// `hand_over` for each operation that turns out to need messages, in the same order everywhere.
  template <class HandOver>
  void pump(HandOver&& hand_over) {
    while (announce_next()) {
    }
    while (OperationState* op = decide_next())
      if (op->mode == SharedMode::messages) hand_over(*op);
  }
  /// One bounded piece of work of a decided operation; true when it is complete.
  bool advance(OperationState& op);
  /// Whether advance() would find something to do at once.
  bool has_work(const OperationState& op) const {
    return op.mode == SharedMode::small || (op.mode == SharedMode::direct && !op.exhausted);
  }
  std::string waiting_for(const OperationState& op) const;

 private:
  static constexpr int kSlots = 32;
  static constexpr std::int64_t kSmallBytes = 4096;

  /// One member's part of one slot; only that member writes.
  struct alignas(64) Arrival {
    std::atomic<std::uint64_t> arrived;  ///< sequence + 1 of the operation announced last
    std::int64_t source;                 ///< offsets in the member's arena; -1 = elsewhere
    std::int64_t target;
    std::int64_t count;
    std::int64_t gap;
    int root;
    Operation operation;
    DType dtype;
  };
  struct Slot {
    alignas(64) std::atomic<std::uint64_t> open_for;  ///< the sequence number that may use it
    std::atomic<bool> wanted;                         ///< somebody waits for it to open
    alignas(64) std::atomic<int> arrived;
    alignas(64) std::atomic<std::int64_t> chunks_done;
    alignas(64) std::atomic<int> left;
  };
  /// How far one member's region of one slot's work is claimed, by whomever.
  struct alignas(64) Claims {
    std::atomic<std::int64_t> chunks;
  };
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

  Slot& slot(const OperationState& op) const { return slots_[op.sequence % kSlots]; }
  Arrival& arrival(const OperationState& op, int member) const {
    return arrivals_[op.sequence % kSlots * static_cast<std::size_t>(group_.count) +
                     static_cast<std::size_t>(member)];
  }
  Claims& claims(const OperationState& op, int member) const {
    return claims_[op.sequence % kSlots * static_cast<std::size_t>(group_.count) +
                   static_cast<std::size_t>(member)];
  }
  std::byte* payload(const OperationState& op, int member) const;
  bool has_arrived(const OperationState& op, int member) const;

  bool announce_next();
  void write_payload(const OperationState& op);
  OperationState* decide_next();
  void check_agreement(const OperationState& op, const Arrival& other, int member) const;
  void leave(const OperationState& op);
  void ring_others() const;

  bool advance_direct(OperationState& op);
  bool do_next_chunk(OperationState& op);
  void do_small(OperationState& op);
  void do_chunk(OperationState& op, int owner, std::int64_t begin, std::int64_t end);
  void sum_chunk(OperationState& op, int owner, std::int64_t begin, std::int64_t end);
  void gather_chunk(OperationState& op, int to, std::int64_t begin, std::int64_t end);
  void broadcast_chunk(OperationState& op, int to, std::int64_t begin, std::int64_t end);
  Range region(const OperationState& op, int member) const;
  std::int64_t all_chunks(const OperationState& op) const;
  const std::byte* source_of(const OperationState& op, int member) const;
  std::byte* target_of(const OperationState& op, int member) const;
  std::int64_t chunk_elements(const OperationState& op) const;

  Group group_;
  int index_;
  bool reversed_;
  std::vector<int> node_ranks_;
  const NodeSeats& seats_;
  const SharedArena* arena_ = nullptr;

  MPI_Win window_ = MPI_WIN_NULL;
  Slot* slots_ = nullptr;
  Arrival* arrivals_ = nullptr;
  Claims* claims_ = nullptr;
  std::byte* payloads_ = nullptr;

  std::uint64_t begun_ = 0;      // the next sequence number to begin ...
  std::uint64_t announced_ = 0;  // ... to announce ...
  std::uint64_t decided_ = 0;    // ... to decide
  std::array<OperationState*, Communicator::kMaxInFlight> pending_{};  // by sequence number

  std::vector<const void*> sources_;  // scratch of sums
  std::vector<void*> targets_;
};

}  // namespace trireme::comm
