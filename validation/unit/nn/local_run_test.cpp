// The local executor is what the laws stand on: it must see a plan that says less than its bodies
// do.

#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <cmath>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

/// Loss of a run with the plan of both layers changed.
double loss_with(const std::function<void(nn::BlockPlan&)>& change) {
  models::Model model = models::build_language_model(tiny_llama(), tiny_placement());
  auto plan = *model.blocks[1].plan;
  change(plan);
  for (const int layer : {1, 2})
    model.blocks[static_cast<std::size_t>(layer)].plan =
        std::make_shared<const nn::BlockPlan>(plan);
  LocalRun run(model);
  scramble(run);
  const double loss =
      run.run(local_batches(model.placement, tiny_llama().vocabulary, 1, 5), tiny_scalars());
  for (const LocalTensor& tensor : run.tensors())
    for (const double value : run.gradient(tensor))
      if (!std::isfinite(value)) return value;
  return loss;
}

nn::Step& step_of(std::vector<nn::Step>& steps, const std::string& name, nn::Half half) {
  for (nn::Step& step : steps)
    if (step.name == name && step.half == half) return step;
  ADD_FAILURE() << name;
  return steps.front();
}

TEST(LocalRun, SeesPlansThatSayTooLittle) {
  using nn::Half;
  EXPECT_TRUE(std::isfinite(loss_with([](nn::BlockPlan&) {})));
  // A body uses a buffer, weights or gradients that its step does not declare.
  EXPECT_THROW(loss_with([](nn::BlockPlan& plan) {
                 step_of(plan.forward, "mlp", Half::input).reads.clear();
               }),
               Error);
  EXPECT_THROW(loss_with([](nn::BlockPlan& plan) {
                 step_of(plan.forward, "attention", Half::input).weights_of.clear();
               }),
               Error);
  EXPECT_THROW(loss_with([](nn::BlockPlan& plan) {
                 step_of(plan.backward, "mlp", Half::weight).gradients_of.clear();
               }),
               Error);
  // It writes what it only reads.
  EXPECT_THROW(loss_with([](nn::BlockPlan& plan) {
                 nn::Step& step = step_of(plan.forward, "mlp", Half::input);
                 step.reads.insert(step.reads.end(), step.writes.begin(), step.writes.end());
                 step.writes.clear();
               }),
               Error);
  // It leaves a buffer unwritten that a later one reads, in forward or in backward.
  for (const bool backward : {false, true})
    EXPECT_FALSE(std::isfinite(loss_with([&](nn::BlockPlan& plan) {
      auto& steps = backward ? plan.backward : plan.forward;
      step_of(steps, "norm", Half::input).body = [](const nn::StepContext&) {};
    })));
}

}  // namespace
}  // namespace trireme::validation
