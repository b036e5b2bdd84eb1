#include "validation/harness/toy_model.hpp"

#include <fmt/format.h>

namespace trireme::validation {
namespace {

using nn::Half;
using nn::PlanBuilder;
using nn::Role;
using nn::Slot;
using Pass = PlanBuilder::Pass;

nn::Step segment(std::string name, Half half, std::vector<Slot> reads, std::vector<Slot> writes,
                 double flops) {
  nn::Step step;
  step.name = std::move(name);
  step.half = half;
  step.reads = std::move(reads);
  step.writes = std::move(writes);
  step.flops = flops;
  step.body = [](const nn::StepContext&) {};
  return step;
}

struct Toy {
  explicit Toy(const ToyShape& s) : shape(s) {
    placement.tensor = s.tensor;
    placement.sequence_parallel = s.sequence_parallel && s.tensor > 1;
    placement.micro_batch = s.micro_batch;
    placement.sequence = s.sequence;
    placement.compute = s.compute;
    stream = {placement.local_tokens(), s.hidden};
    whole = {placement.tokens(), s.hidden};
  }

  nn::Parameter matrix(const char* name) const {
    nn::Parameter p;
    p.name = name;
    p.shape = {4 * shape.hidden, shape.hidden};
    p.split_dim = 0;
    return p;
  }
  nn::Parameter norm(const char* name) const {
    nn::Parameter p;
    p.name = name;
    p.shape = {shape.hidden};
    p.partial_gradient = placement.sequence_parallel;
    return p;
  }

  std::shared_ptr<const nn::BlockPlan> embedding() const {
    PlanBuilder b(placement);
    const int unit = shape.tied ? 1 : 0;
    b.parameter(0, norm("position"));
    b.parameter(unit, matrix("table"));
    const Slot tokens = b.buffer("tokens", {2, placement.tokens()}, DType::i32, Role::tokens);
    const Slot y = b.buffer("y", stream, placement.compute, Role::output);
    const Slot dy = b.buffer("dy", stream, placement.compute, Role::output_gradient);
    nn::Step lookup = segment("lookup", Half::input, {tokens}, {y}, 10);
    lookup.weights_of = shape.tied ? std::vector<int>{0, 1} : std::vector<int>{0};
    nn::Step scatter = segment("scatter", Half::weight, {tokens, dy}, {}, 10);
    scatter.gradients_of = lookup.weights_of;
    b.step(Pass::forward, lookup);
    b.all_reduce(Pass::forward, y);
    b.step(Pass::backward, scatter);
    return b.finish();
  }

  std::shared_ptr<const nn::BlockPlan> layer() const {
    PlanBuilder b(placement);
    b.parameter(0, matrix("w"));
    b.parameter(0, norm("norm"));
    const Slot x = b.buffer("x", stream, placement.compute, Role::input);
    const Slot y = b.buffer("y", stream, placement.compute, Role::output);
    const Slot dy = b.buffer("dy", stream, placement.compute, Role::output_gradient);
    const Slot dx = b.buffer("dx", stream, placement.compute, Role::input_gradient);
    const Slot normed = b.buffer("normed", stream, placement.compute);
    const bool gathers = placement.sequence_parallel;
    const Slot wide = gathers ? b.buffer("wide", whole, placement.compute) : normed;
    const Slot partial = b.buffer("partial", whole, placement.compute);
    const Slot sum = gathers ? b.buffer("sum", stream, placement.compute) : partial;
    nn::Step first = segment("norm", Half::input, {x}, {normed}, 10);
    first.weights_of = {0};
    nn::Step product = segment("product", Half::input, {wide}, {partial}, 100);
    product.weights_of = {0};
    b.step(Pass::forward, first);
    if (gathers) b.all_gather(Pass::forward, normed, wide);
    b.step(Pass::forward, product);
    gathers ? b.reduce_scatter(Pass::forward, partial, sum) : b.all_reduce(Pass::forward, partial);
    b.step(Pass::forward, segment("residual", Half::input, {x, sum}, {y}, 5));

    const Slot dwide = b.buffer("dwide", whole, placement.compute);
    const Slot dnormed = gathers ? b.buffer("dnormed", stream, placement.compute) : dwide;
    nn::Step back = segment("product", Half::input, {dy}, {dwide}, 100);
    back.weights_of = {0};
    // One buffer under two names, for the last time: it must be given back once.
    nn::Step weight = segment("product", Half::weight, {wide, dy, wide}, {}, 100);
    weight.gradients_of = {0};
    nn::Step last = segment("norm", Half::input, {x, dnormed, dy}, {dx}, 15);
    last.weights_of = last.gradients_of = {0};
    b.step(Pass::backward, back);
    gathers ? b.reduce_scatter(Pass::backward, dwide, dnormed)
            : b.all_reduce(Pass::backward, dwide);
    b.step(Pass::backward, weight);
    b.step(Pass::backward, last);
    return b.finish();
  }

  std::shared_ptr<const nn::BlockPlan> head() const {
    PlanBuilder b(placement);
    const int unit = shape.tied ? 1 : 0;
    b.parameter(0, norm("norm"));
    b.parameter(unit, matrix("table"));
    const Slot tokens = b.buffer("tokens", {2, placement.tokens()}, DType::i32, Role::tokens);
    const Slot x = b.buffer("x", stream, placement.compute, Role::input);
    const Slot dx = b.buffer("dx", stream, placement.compute, Role::input_gradient);
    const Slot loss = b.buffer("loss", {1}, DType::f64, Role::loss);
    const Slot logits = b.buffer("logits", whole, placement.compute);
    const std::vector<int> units = shape.tied ? std::vector<int>{0, 1} : std::vector<int>{0};
    nn::Step forward = segment("logits", Half::input, {x, tokens}, {logits, loss}, 200);
    forward.weights_of = units;
    nn::Step backward = segment("logits", Half::input, {x, logits}, {dx}, 400);
    backward.weights_of = backward.gradients_of = units;
    b.step(Pass::forward, forward);
    b.step(Pass::backward, backward);
    return b.finish();
  }

  ToyShape shape;
  nn::Placement placement;
  Shape stream;
  Shape whole;
};

}  // namespace

models::Model toy_model(const ToyShape& shape) {
  const Toy toy(shape);
  models::Model model;
  model.placement = toy.placement;
  model.placement.sharding = shape.sharding;
  std::int64_t whole_left = shape.sharding.whole_in_total;
  model.hidden = shape.hidden;
  const auto add = [&](std::string name, std::shared_ptr<const nn::BlockPlan> plan) {
    models::Block block;
    block.name = std::move(name);
    block.layer = static_cast<int>(model.blocks.size());
    for (std::size_t u = 0; u < plan->units.size(); ++u) {
      const bool tied = u == 1;
      if (tied && model.blocks.size() > 0) {
        block.units.push_back(1);
        continue;
      }
      block.units.push_back(static_cast<int>(model.units.size()));
      model.units.push_back(nn::make_unit(tied ? "tied" : block.name, plan->units[u], shape.tensor,
                                          shape.sharding, whole_left));
      model.units.back().tied = tied;
    }
    block.plan = std::move(plan);
    model.blocks.push_back(std::move(block));
  };
  add("embedding", toy.embedding());
  const auto layer = toy.layer();
  for (int i = 0; i < shape.layers; ++i) add(fmt::format("layers.{}", i), layer);
  add("head", toy.head());
  return model;
}

}  // namespace trireme::validation
