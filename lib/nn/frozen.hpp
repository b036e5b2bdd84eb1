#pragma once
// Blocks that are not trained: their plans without what only training needs.

#include "lib/nn/plan.hpp"

#include <memory>
#include <vector>

namespace trireme::nn {

/// What is left to do in a block's backward.
struct Training {
  std::vector<bool> frozen;  ///< by position of the unit in the block: its weights stay as they are
  bool input_gradient = true;  ///< a block before it is trained

  friend auto operator<=>(const Training&, const Training&) = default;
};

/// `plan` for `training`: of backward only the steps that a trained unit's gradient or the input
/// gradient needs. Where such a step makes small gradients of a frozen unit on its way (norms,
/// biases), they go into an internal buffer that nobody reads. `tensor`: ranks of the tensor group.
std::shared_ptr<const BlockPlan> plan_for(const BlockPlan& plan, const Training& training,
                                          std::int64_t tensor);

}  // namespace trireme::nn
