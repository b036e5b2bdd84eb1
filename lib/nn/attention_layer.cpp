#include "lib/nn/attention_layer.hpp"

namespace trireme::nn {
namespace {

using Pass = PlanBuilder::Pass;

kernels::AttentionShape local_shape_of(const LayerConfig& config, const Placement& placement) {
  return {placement.micro_batch, placement.sequence,
          divide_exactly(config.heads, placement.tensor, "model.heads", "parallel.tensor"),
          divide_exactly(config.kv_heads, placement.tensor, "model.kv_heads", "parallel.tensor"),
          config.head_dim};
}

}  // namespace

AttentionLayer::AttentionLayer(PlanBuilder& b, const LayerConfig& config)
    : config_(config), shape_(local_shape_of(config, b.placement())), output_([&] {
        add_projections(b);
        return RowParallel(b, "attention.o_proj", config.hidden, config.heads * config.head_dim,
                           config.bias_projection, config.residual_init_std);
      }()) {
  if (config.rotary)
    b.table([table = config.rotary] {
      if (!table->device_values()) table->place_on_device();
    });
  const Placement& placement = b.placement();
  const std::int64_t tokens = placement.tokens();
  const std::int64_t q_width = shape_.heads * shape_.head_dim;
  qkv_ = b.product_buffer("qkv", {tokens, qkv_weight_.rows}, placement.compute);
  if (config.qk_norm) {
    // Each rank norms its own heads only: gradients of the shared gamma are partial sums.
    const bool partial = placement.tensor > 1;
    const std::int64_t k_width = shape_.kv_heads * shape_.head_dim;
    rotated_ = b.buffer("rotated", {tokens, q_width + k_width}, placement.compute);
    q_norm_ = NormPiece::add(b, "attention.q_norm", kernels::NormKind::rms, config.norm_epsilon,
                             shape_.head_dim, tokens * shape_.heads, partial);
    k_norm_ = NormPiece::add(b, "attention.k_norm", kernels::NormKind::rms, config.norm_epsilon,
                             shape_.head_dim, tokens * shape_.kv_heads, partial);
  }
  attended_ = b.buffer("attended", {tokens, q_width}, placement.compute);
  lse_ = b.buffer("lse", {shape_.batch, shape_.heads, shape_.seq}, DType::f32);
  dattended_ = b.buffer("dattended", {tokens, q_width}, placement.compute);
  dqkv_ = b.like(qkv_, "dqkv");
  if (!placement.attention_across_documents)
    documents_ = b.buffer("documents", {tokens}, DType::i32, Role::documents);
}

void AttentionLayer::add_projections(PlanBuilder& b) {
  const std::int64_t q = config_.heads * config_.head_dim;
  const std::int64_t kv = config_.kv_heads * config_.head_dim;
  const std::int64_t rows = (shape_.heads + 2 * shape_.kv_heads) * shape_.head_dim;
  const auto add = [&](Parameter parameter, bool follows) {
    parameter.follows_previous = follows;
    return b.parameter(0, std::move(parameter));
  };
  qkv_weight_ = {
      add(matrix("attention.q_proj.weight", q, config_.hidden, 0, config_.init_std), false), rows,
      config_.hidden, true, b.placement().products};
  add(matrix("attention.k_proj.weight", kv, config_.hidden, 0, config_.init_std), true);
  add(matrix("attention.v_proj.weight", kv, config_.hidden, 0, config_.init_std), true);
  if (!config_.bias_qkv) return;
  qkv_bias_ = {add(split_bias("attention.q_proj.bias", q), false), rows, 0, true};
  add(split_bias("attention.k_proj.bias", kv), true);
  add(split_bias("attention.v_proj.bias", kv), true);
}

TensorView AttentionLayer::part(const TensorView& packed, int which) const {
  const std::int64_t q = shape_.heads * shape_.head_dim;
  const std::int64_t kv = shape_.kv_heads * shape_.head_dim;
  return which == 0 ? packed.column_slice(0, q) : packed.column_slice(q + (which - 1) * kv, kv);
}

void AttentionLayer::rotate(const TensorView& packed, kernels::Rotation rotation) const {
  if (!config_.rotary) return;
  for (const int which : {0, 1})
    kernels::rotary(part(packed, which), *config_.rotary, shape_.seq, rotation);
}

kernels::AttentionOptions AttentionLayer::options(const StepContext& c) const {
  kernels::AttentionOptions made;
  if (documents_ != Slot::none) made.document_start = c.view(documents_);
  made.dropout = dropout_key(c, DropoutPlace::attention, config_.dropout.attention);
  made.first_head = c.tensor_rank() * shape_.heads;
  return made;
}

void AttentionLayer::run_forward(const StepContext& c, Slot gathered) const {
  const TensorView projected = c.view(qkv_);
  linear(c, projected, c.view(gathered), qkv_weight_, qkv_bias_);
  const TensorView qkv = c.view(ready());
  if (config_.qk_norm) {
    kernels::norm_forward(q_norm_.kernel(c), part(projected, 0), part(qkv, 0), q_norm_.saved(c));
    kernels::norm_forward(k_norm_.kernel(c), part(projected, 1), part(qkv, 1), k_norm_.saved(c));
  }
  rotate(qkv, kernels::Rotation::forward);
  kernels::attention_forward(shape_, c.view(attended_), c.view(lse_), part(qkv, 0), part(qkv, 1),
                             part(projected, 2), options(c));
  linear(c, c.view(output_.partial()), c.view(attended_), output_.weight());
}

void AttentionLayer::forward(PlanBuilder& b, const NormLayer& norm) const {
  Step step;
  step.name = "attention";
  step.reads = {norm.gathered()};
  if (documents_ != Slot::none) step.reads.push_back(documents_);
  step.writes = {qkv_, attended_, lse_, output_.partial()};
  if (config_.qk_norm)
    step.writes.insert(step.writes.end(), {rotated_, q_norm_.rstd, k_norm_.rstd});
  step.weights_of = {0};
  const std::int64_t tokens = shape_.tokens();
  step.flops = product_flops(tokens, qkv_weight_) + product_flops(tokens, output_.weight()) +
               kernels::attention_forward_flops(shape_);
  step.workspace = std::max(
      {linear_workspace(tokens, qkv_weight_), linear_workspace(tokens, output_.weight()),
       kernels::attention_forward_workspace(shape_, b.placement().compute, fusible(false))});
  step.body = [self = *this, gathered = norm.gathered()](const StepContext& c) {
    self.run_forward(c, gathered);
  };
  b.step(Pass::forward, step);
  output_.sum(b);
}

void AttentionLayer::run_backward(const StepContext& c, Slot dout, Slot dgathered) const {
  const TensorView projected = c.view(qkv_);
  const TensorView qkv = c.view(ready());
  const TensorView dqkv = c.view(dqkv_);
  linear_input_gradient(c, c.view(dattended_), c.view(dout), output_.weight());
  kernels::attention_backward(shape_, part(dqkv, 0), part(dqkv, 1), part(dqkv, 2),
                              c.view(dattended_), part(qkv, 0), part(qkv, 1), part(projected, 2),
                              c.view(attended_), c.view(lse_), options(c));
  rotate(dqkv, kernels::Rotation::inverse);
  if (config_.qk_norm) {
    kernels::norm_backward(q_norm_.kernel(c), part(projected, 0), part(dqkv, 0), q_norm_.saved(c),
                           {}, part(dqkv, 0), q_norm_.gradients(c));
    kernels::norm_backward(k_norm_.kernel(c), part(projected, 1), part(dqkv, 1), k_norm_.saved(c),
                           {}, part(dqkv, 1), k_norm_.gradients(c));
  }
  linear_input_gradient(c, c.view(dgathered), dqkv, qkv_weight_);
}

void AttentionLayer::backward(PlanBuilder& b, const NormLayer& norm, Slot dout) const {
  const Slot dwhole = output_.gather_gradient(b, dout);
  const std::int64_t tokens = shape_.tokens();
  const double product =
      product_flops(tokens, qkv_weight_) + product_flops(tokens, output_.weight());
  Step input;
  input.name = "attention";
  input.reads = {dwhole, qkv_, attended_, lse_};
  if (documents_ != Slot::none) input.reads.push_back(documents_);
  if (config_.qk_norm) {
    input.reads.insert(input.reads.end(), {rotated_, q_norm_.rstd, k_norm_.rstd});
    input.gradients_of = {0};
  }
  input.writes = {dattended_, dqkv_, norm.dgathered()};
  input.weights_of = {0};
  input.flops = product + kernels::attention_backward_flops(shape_);
  input.workspace = std::max(
      {linear_input_gradient_workspace(tokens, qkv_weight_),
       linear_input_gradient_workspace(tokens, output_.weight()),
       kernels::attention_backward_workspace(shape_, b.placement().compute, fusible(true))});
  if (config_.qk_norm)
    input.workspace =
        std::max({input.workspace, q_norm_.backward_workspace(b), k_norm_.backward_workspace(b)});
  input.body = [self = *this, dwhole, dgathered = norm.dgathered()](const StepContext& c) {
    self.run_backward(c, dwhole, dgathered);
  };
  b.step(Pass::backward, input);
  norm.reduce_gradient(b, norm.dgathered());
  const Slot gathered = norm.gather_again(b);

  Step weight;
  weight.name = "attention";
  weight.half = Half::weight;
  weight.reads = {dwhole, dout, attended_, dqkv_, gathered};
  weight.gradients_of = {0};
  weight.flops = product;
  weight.workspace = std::max(output_.weight_gradient_workspace(b),
                              linear_weight_gradient_workspace(tokens, qkv_weight_, qkv_bias_));
  weight.body = [self = *this, dwhole, dout, gathered](const StepContext& c) {
    self.output_.weight_gradient(c, c.view(dwhole), c.view(dout), c.view(self.attended_));
    linear_weight_gradient(c, c.view(self.dqkv_), c.view(gathered), self.qkv_weight_,
                           self.qkv_bias_);
  };
  b.step(Pass::backward, weight);
}

}  // namespace trireme::nn
