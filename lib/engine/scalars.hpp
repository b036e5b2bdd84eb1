#pragma once
// The scalars buffer of a rank: f64 [program::kScalars + units of the model]. Zeroed at the start
// of a program, summed over the world by its one agreement; afterwards the same on all ranks.

#include <cstddef>

namespace trireme::engine {

enum class Scalar : std::size_t {
  loss,          ///< sum over tokens of the global batch; each token from one rank
  tokens,        ///< tokens that the loss counts
  stop,          ///< ranks that ask to stop after this step
  kinds,         ///< how many scalars the world sums up before the norms of units
  loss_ignored,  ///< where tensor ranks above 0 put their copy of the loss
};

}  // namespace trireme::engine
