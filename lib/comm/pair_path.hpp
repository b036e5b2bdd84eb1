#pragma once
// Sends and receives between ranks of one node: one copy, by the receiver, from the sender's arena
// to where the bytes belong. Private to this folder.
//
// A sender posts what it sends in its outbox and rings; a receiver finds the oldest post of its
// pair, group and tag, takes it, copies, and rings back. So a send completes only once its receive
// has started, as with synchronous messages. A buffer outside the arena goes as a message, of which
// the post says so: its order among the others stays. No room is ever short that another
// transfer's receive could wait for.

#include "lib/comm/message_path.hpp"
#include "lib/comm/node_seats.hpp"

#include <string>
#include <vector>

namespace trireme::comm {

class PairPath {
 public:
  /// `node_ranks` by group index, negative for members on other nodes.
  PairPath(const Group& group, std::vector<int> node_ranks, const CommFaults& faults,
           const NodeSeats& seats, MessagePath& messages);

  void attach(const SharedArena* arena) { arena_ = arena; }
  /// Whether the other end of a send or receive is on this node.
  bool reaches(const OperationState& op) const { return node_rank_of(op) >= 0; }

  void begin(OperationState& op);
  /// One bounded piece of work; true when the operation is complete.
  bool advance(OperationState& op);
  Awaits awaited(const OperationState& op) const;
  std::string waiting_for(const OperationState& op) const;

 private:
  int node_rank_of(const OperationState& op) const {
    return node_ranks_[static_cast<std::size_t>(op.peer)];
  }
  void post_waiting();
  bool post(OperationState& op);
  bool advance_send(OperationState& op);
  void match_waiting();
  bool match(OperationState& op);
  std::uint64_t posts_of(const OperationState& op) const;
  bool advance_receive(OperationState& op);

  Group group_;
  std::vector<int> node_ranks_;
  bool youngest_;
  const NodeSeats& seats_;
  MessagePath& messages_;
  const SharedArena* arena_ = nullptr;
  std::vector<OperationState*> unposted_;   // sends without a post yet, in order of their calls
  std::vector<OperationState*> unmatched_;  // receives, likewise
};

}  // namespace trireme::comm
