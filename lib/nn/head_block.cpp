#include "kernels/loss/cross_entropy.hpp"
#include "lib/nn/blocks.hpp"
#include "lib/nn/pieces.hpp"

namespace trireme::nn {
namespace {

using Pass = PlanBuilder::Pass;

struct Head {
  LayerConfig config;
  Placement placement;
  NormPiece norm;
  Fused table;
  Slot tokens, x, dx, normed, gathered, logits, statistics, all_statistics, normalizer, loss,
      dgathered, dnormed;

  TensorView targets(const StepContext& c) const {
    return c.view(tokens).row_slice(1, 1).reshaped({placement.tokens()});
  }
  kernels::VocabularyShard shard(const StepContext& c) const {
    const std::int64_t first = c.tensor_rank() * table.rows;
    return {first, std::clamp<std::int64_t>(config.vocabulary - first, 0, table.rows)};
  }
};

void loss_body(const Head& h, const StepContext& c) {
  const TensorView targets = h.targets(c);
  kernels::cross_entropy_total(
      c.view(h.all_statistics).reshaped({h.placement.tensor, h.placement.tokens(), 3}), targets,
      h.config.vocabulary, c.view(h.normalizer), c.view(h.loss), c.accumulate_loss());
  if (c.training())
    kernels::cross_entropy_gradient(c.view(h.logits), targets, h.shard(c), c.view(h.normalizer),
                                    static_cast<float>(c.gradient_scale()));
}

void add_forward(PlanBuilder& b, const Head& h) {
  Step norm;
  norm.name = "norm";
  norm.reads = {h.x};
  norm.writes = h.norm.statistics();
  norm.writes.push_back(h.normed);
  norm.weights_of = {0};
  norm.body = [h](const StepContext& c) {
    kernels::norm_forward(h.norm.kernel(c), c.view(h.x), c.view(h.normed), h.norm.saved(c));
  };
  b.step(Pass::forward, norm);
  if (h.placement.sequence_parallel) b.all_gather(Pass::forward, h.normed, h.gathered);

  Step logits;
  logits.name = "logits";
  logits.reads = {h.gathered, h.tokens};
  logits.writes = {h.logits, h.statistics};
  logits.weights_of = {h.table.first.unit};
  logits.flops = product_flops(h.placement.tokens(), h.table);
  logits.workspace = linear_workspace(h.placement.tokens(), h.table);
  logits.body = [h](const StepContext& c) {
    linear(c, c.view(h.logits), c.view(h.gathered), h.table);
    kernels::cross_entropy_statistics(c.view(h.logits), h.targets(c), h.shard(c),
                                      c.view(h.statistics));
  };
  b.step(Pass::forward, logits);
  b.all_gather(Pass::forward, h.statistics, h.all_statistics);

  Step loss;
  loss.name = "loss";
  loss.reads = {h.all_statistics, h.tokens, h.logits};
  loss.writes = {h.loss, h.logits, h.normalizer};
  loss.workspace = kernels::cross_entropy_workspace(h.placement.tokens());
  loss.body = [h](const StepContext& c) { loss_body(h, c); };
  b.step(Pass::forward, loss);
}

void add_backward(PlanBuilder& b, const Head& h) {
  const double flops = product_flops(h.placement.tokens(), h.table);
  Step input;
  input.name = "logits";
  input.reads = {h.logits};
  input.writes = {h.dgathered};
  input.weights_of = {h.table.first.unit};
  input.flops = flops;
  input.workspace = linear_input_gradient_workspace(h.placement.tokens(), h.table);
  input.body = [h](const StepContext& c) {
    linear_input_gradient(c, c.view(h.dgathered), c.view(h.logits), h.table);
  };
  b.step(Pass::backward, input);
  if (h.placement.sequence_parallel) {
    b.reduce_scatter(Pass::backward, h.dgathered, h.dnormed);
  } else {
    b.all_reduce(Pass::backward, h.dgathered);
  }
  Step weight;
  weight.name = "logits";
  weight.half = Half::weight;
  weight.reads = {h.logits, h.gathered};
  weight.gradients_of = {h.table.first.unit};
  weight.flops = flops;
  weight.workspace = linear_weight_gradient_workspace(h.placement.tokens(), h.table);
  weight.body = [h](const StepContext& c) {
    linear_weight_gradient(c, c.view(h.logits), c.view(h.gathered), h.table);
  };
  b.step(Pass::backward, weight);

  Step norm;
  norm.name = "norm";
  norm.reads = h.norm.statistics();
  norm.reads.insert(norm.reads.end(), {h.x, h.dnormed});
  norm.writes = {h.dx};
  norm.weights_of = norm.gradients_of = {0};
  norm.workspace = h.norm.backward_workspace(b);
  norm.body = [h](const StepContext& c) {
    kernels::norm_backward(h.norm.kernel(c), c.view(h.x), c.view(h.dnormed), h.norm.saved(c), {},
                           c.view(h.dx), h.norm.gradients(c));
  };
  b.step(Pass::backward, norm);
}

}  // namespace

std::shared_ptr<const BlockPlan> head_block(const LayerConfig& config, const Placement& placement) {
  PlanBuilder b(placement);
  Head h;
  h.config = config;
  h.placement = placement;
  const Shape stream{placement.local_tokens(), config.hidden};
  const Shape all{placement.tokens(), config.hidden};
  h.x = b.buffer("x", stream, placement.compute, Role::input);
  h.dx = b.buffer("dx", stream, placement.compute, Role::input_gradient);
  h.tokens = b.buffer("tokens", {2, placement.tokens()}, DType::i32, Role::tokens);
  h.loss = b.buffer("loss", {1}, DType::f64, Role::loss);
  h.norm = NormPiece::add(b, "norm", config.norm, config.norm_epsilon, config.hidden,
                          placement.local_tokens(), placement.sequence_parallel);
  const bool tied = config.tied_embeddings;
  Parameter output = matrix(tied ? "tokens.weight" : "output.weight", config.vocabulary,
                            config.hidden, 0, config.init_std);
  output.pad_split = true;
  h.table = {b.parameter(tied ? 1 : 0, std::move(output)),
             divide_up(config.vocabulary, placement.tensor),
             config.hidden,
             true,
             {.tf32 = placement.products.tf32}};

  h.normed = b.buffer("normed", stream, placement.compute);
  h.gathered =
      placement.sequence_parallel ? b.buffer("gathered", all, placement.compute) : h.normed;
  h.logits = b.product_buffer("logits", {placement.tokens(), h.table.rows}, placement.compute);
  h.statistics = b.buffer("statistics", {placement.tokens(), 3}, DType::f32);
  h.all_statistics =
      placement.tensor > 1
          ? b.buffer("all statistics", {placement.tensor, placement.tokens(), 3}, DType::f32)
          : h.statistics;
  h.normalizer = b.buffer("normalizer", {placement.tokens(), 2}, DType::f32);
  h.dgathered = b.buffer("dgathered", all, placement.compute);
  h.dnormed =
      placement.sequence_parallel ? b.buffer("dnormed", stream, placement.compute) : h.dgathered;
  add_forward(b, h);
  add_backward(b, h);
  return b.finish();
}

}  // namespace trireme::nn
