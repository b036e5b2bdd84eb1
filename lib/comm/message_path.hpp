#pragma once
// Operations as point-to-point MPI messages: works for any members and any buffers. MPI moves bytes
// here and never adds. Private to this folder.
//
// A reduction deals the buffer into one part a member and works in rounds of one piece of each
// part, so that staging memory is bounded: pieces of my part arrive from all (scatter), are summed
// in member order, and go back to all (gather). Small all-reduces collect everyone's buffer and sum
// all of it on every member. Both orders are the same order for each element.
//
// In groups of up to MessageLimits::peers_at_a_time others a small buffer goes straight to all, so
// that a missing member is named; in larger ones what has come is passed on, twice as far in each
// of log2 n steps (Bruck et al., IEEE TPDS 8(11), 1997, section 3: concatenation), so that ten
// thousand ranks do not exchange ten thousand messages each. A barrier is the same without bytes.
//
// A send longer than one message goes in rounds too. MPI keeps the order of the messages of a pair
// and tag, so a later send or receive of theirs posts nothing before the earlier one's last round.

#include "lib/comm/communicator.hpp"
#include "lib/comm/operation_state.hpp"

#include <mpi.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace trireme::comm {

class MessagePath {
 public:
  /// Collective over the members of `members`, which is duplicated.
  MessagePath(MPI_Comm members, const Group& group, int index, const CommOptions& options);
  ~MessagePath();
  MessagePath(const MessagePath&) = delete;
  MessagePath& operator=(const MessagePath&) = delete;

  /// In the same order on all members for collectives.
  void begin(OperationState& op);
  bool advance(OperationState& op);
  std::string waiting_for(const OperationState& op) const;
  /// Messages that one operation has under way at most, its sends and receives together.
  int most_messages() const;

 private:
  struct Piece {
    std::int64_t begin = 0;  // elements, in the whole buffer (gaps included)
    std::int64_t count = 0;
  };

  int members() const { return group_.count; }
  bool may_move(OperationState& op);
  std::int64_t piece_capacity(const OperationState& op) const;
  std::int64_t rounds(const OperationState& op) const;
  Piece piece(const OperationState& op, int member) const;
  std::int64_t staged_bytes() const;
  std::byte* staged(const OperationState& op, int member);
  bool doubles(const OperationState& op) const;

  void post(OperationState& op);
  void post_pairs(OperationState& op);
  void post_pair(OperationState& op, int to, int from);
  void post_doubling(OperationState& op);
  void post_tree(OperationState& op);
  void post_point_to_point(OperationState& op);
  void send_to(OperationState& op, int member, const std::byte* data, std::int64_t bytes);
  void receive_from(OperationState& op, int member, std::byte* data, std::int64_t bytes);
  bool all_arrived(OperationState& op);
  bool next_stage(OperationState& op);
  void sum_staged(OperationState& op, const Piece& mine);
  bool next_round(OperationState& op, MessageStage first);
  int tag_of(const OperationState& op) const;
  int batches(const OperationState& op) const;
  bool behind_another(const OperationState& op) const;

  static constexpr int kAreas = 2;

  Group group_;
  int index_;
  bool reversed_;
  MessageLimits limits_;
  MPI_Comm collectives_ = MPI_COMM_NULL;
  MPI_Comm point_to_point_ = MPI_COMM_NULL;

  // Staging memory is handed out by ticket: the same order on all members, so that nobody holds
  // memory that the others' next operation needs.
  std::array<std::vector<std::byte>, kAreas> areas_;
  std::array<bool, kAreas> area_taken_{};
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;

  std::vector<const OperationState*> unposted_;  // sends and receives with messages to post yet
  std::vector<const void*> sources_;             // scratch of sum_staged
};

}  // namespace trireme::comm
