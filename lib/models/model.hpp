#pragma once
// A model is a list of blocks over a list of units (flat parameter buffers).

#include "lib/nn/plan.hpp"

#include <memory>
#include <string>
#include <vector>

namespace trireme::models {

/// In Block::units: nothing of the plan lies at this position (a tied model without learned
/// positions).
inline constexpr int kNoUnit = -1;

struct Block {
  std::string name;  ///< "embedding", "layers.3", "head": prefix of its parameters' names
  int layer = 0;     ///< position in the model; random streams depend on it
  std::shared_ptr<const nn::BlockPlan> plan;  ///< equal blocks share one
  std::vector<int> units;                     ///< index into Model::units by position in the plan
};

/// Blocks pass a residual stream [local tokens, hidden] on: the first has no Role::input, the last
/// no output.
struct Model {
  nn::Placement placement;
  std::vector<Block> blocks;
  std::vector<nn::Unit> units;
  std::int64_t hidden = 0;
  std::int64_t parameters = 0;           ///< logical, all of them
  std::int64_t trained_parameters = 0;   ///< of these, in units that are not frozen
  std::int64_t position_parameters = 0;  ///< of these, learned position embeddings
};

}  // namespace trireme::models
