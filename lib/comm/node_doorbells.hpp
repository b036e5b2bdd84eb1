#pragma once

#include "lib/comm/arena.hpp"
#include "lib/comm/doorbell.hpp"

namespace trireme::comm {

/// One doorbell for each rank of this node. Construction and destruction are collective over the
/// node.
class NodeDoorbells {
 public:
  explicit NodeDoorbells(const World& world)
      : memory_(world, sizeof(Doorbell)), node_rank_(world.node_rank()) {}

  Doorbell& of(int node_rank) const {
    return *reinterpret_cast<Doorbell*>(memory_.at(node_rank, 0));
  }
  Doorbell& own() const { return of(node_rank_); }

 private:
  SharedArena memory_;
  int node_rank_;
};

}  // namespace trireme::comm
