#pragma once
// What each rank of a node shows the others beside its data. Private to this folder.

#include "lib/comm/arena.hpp"
#include "lib/comm/doorbell.hpp"
#include "lib/comm/outbox.hpp"

namespace trireme::comm {

/// A doorbell and an outbox for each rank of this node. Construction and destruction are collective
/// over the node.
class NodeSeats {
 public:
  explicit NodeSeats(const World& world)
      : memory_(world, sizeof(Seat)), node_rank_(world.node_rank()) {}

  int own_node_rank() const { return node_rank_; }
  Doorbell& doorbell(int node_rank) const { return seat(node_rank).doorbell; }
  Doorbell& own_doorbell() const { return doorbell(node_rank_); }
  Outbox& outbox(int node_rank) const { return seat(node_rank).outbox; }
  Outbox& own_outbox() const { return outbox(node_rank_); }

 private:
  struct Seat {  // zeroed memory is one of which nobody made use yet
    Doorbell doorbell;
    Outbox outbox;
  };
  Seat& seat(int node_rank) const { return *reinterpret_cast<Seat*>(memory_.at(node_rank, 0)); }

  SharedArena memory_;
  int node_rank_;
};

}  // namespace trireme::comm
