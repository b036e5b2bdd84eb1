#include "lib/nn/frozen.hpp"

#include <algorithm>
#include <set>

namespace trireme::nn {
namespace {

/// Where gradients of frozen units go.
struct Discarded {
  std::vector<bool> frozen;                ///< by position of the unit
  std::vector<std::vector<Shape>> shapes;  ///< a rank's, of every parameter
  Slot slot = Slot::none;
};

/// A step's context in which gradients of frozen units go where nobody reads them.
class Discarding final : public StepContext {
 public:
  Discarding(const StepContext& context, const Discarded& discarded)
      : context_(context), discarded_(discarded) {}

  TensorView view(Slot slot) const override { return context_.view(slot); }
  TensorView weight(ParameterId id) const override { return context_.weight(id); }
  TensorView gradient(ParameterId id) const override {
    if (!is_frozen(id)) return context_.gradient(id);
    const Shape& shape =
        discarded_.shapes[static_cast<std::size_t>(id.unit)][static_cast<std::size_t>(id.index)];
    const TensorView all = context_.view(discarded_.slot);
    check(shape.elements() <= all.elements(), Exit::kUnexpected,
          "a step that a frozen block still takes makes a gradient of {} elements, expected a "
          "vector of at most {}",
          shape.elements(), all.elements());
    return {all.data, shape, DType::f32, 0, all.space};
  }
  bool accumulate(ParameterId id) const override {
    return !is_frozen(id) && context_.accumulate(id);
  }
  bool accumulate_loss() const override { return context_.accumulate_loss(); }
  bool training() const override { return context_.training(); }
  double gradient_scale() const override { return context_.gradient_scale(); }
  RandomPlace random_place() const override { return context_.random_place(); }
  std::int64_t tensor_rank() const override { return context_.tensor_rank(); }
  int layer() const override { return context_.layer(); }

 private:
  bool is_frozen(ParameterId id) const {
    return discarded_.frozen[static_cast<std::size_t>(id.unit)];
  }

  const StepContext& context_;
  const Discarded& discarded_;
};

/// Backward steps that something needs, by index.
std::vector<bool> needed_steps(const BlockPlan& plan, const Training& training) {
  std::vector<bool> needed(plan.backward.size());
  std::set<Slot> read;
  if (training.input_gradient) read.insert(plan.slot_of(Role::input_gradient));
  for (std::size_t i = plan.backward.size(); i-- > 0;) {
    const Step& step = plan.backward[i];
    const auto trained = [&](int unit) { return !training.frozen[static_cast<std::size_t>(unit)]; };
    needed[i] = std::ranges::any_of(step.gradients_of, trained) ||
                std::ranges::any_of(step.writes, [&](Slot slot) { return read.contains(slot); });
    if (needed[i]) read.insert(step.reads.begin(), step.reads.end());
  }
  return needed;
}

/// The step without its gradients of frozen units.
Step discarding(const Step& step, const std::shared_ptr<const Discarded>& discarded) {
  Step made = step;
  std::erase_if(made.gradients_of,
                [&](int unit) { return discarded->frozen[static_cast<std::size_t>(unit)]; });
  made.writes.push_back(discarded->slot);
  made.body = [body = step.body, discarded](const StepContext& context) {
    body(Discarding(context, *discarded));
  };
  return made;
}

/// A buffer for the largest vector of the plan: what norms and biases have as gradients.
std::shared_ptr<const Discarded> add_discarded(BlockPlan& plan, const Training& training,
                                               std::int64_t tensor) {
  Discarded made{training.frozen, {}, static_cast<Slot>(plan.buffers.size())};
  std::int64_t most = 0;
  for (const std::vector<Parameter>& unit : plan.units) {
    std::vector<Shape>& shapes = made.shapes.emplace_back();
    for (const Parameter& parameter : unit) {
      shapes.push_back(local_shape(parameter, tensor));
      if (parameter.shape.rank() == 1) most = std::max(most, shapes.back().elements());
    }
  }
  plan.buffers.push_back({"frozen gradients", {most}, DType::f32, Role::internal, 0});
  return std::make_shared<const Discarded>(std::move(made));
}

}  // namespace

std::shared_ptr<const BlockPlan> plan_for(const BlockPlan& plan, const Training& training,
                                          std::int64_t tensor) {
  BlockPlan made = plan;
  made.backward.clear();
  const std::vector<bool> needed = needed_steps(plan, training);
  std::shared_ptr<const Discarded> discarded;
  for (std::size_t i = 0; i < plan.backward.size(); ++i) {
    if (!needed[i]) continue;
    const Step& step = plan.backward[i];
    const bool some_frozen = std::ranges::any_of(step.gradients_of, [&](int unit) {
      return training.frozen[static_cast<std::size_t>(unit)];
    });
    if (some_frozen && !discarded) discarded = add_discarded(made, training, tensor);
    made.backward.push_back(some_frozen ? discarding(step, discarded) : step);
  }
  return std::make_shared<const BlockPlan>(std::move(made));
}

}  // namespace trireme::nn
