#include "lib/nn/mlp_layer.hpp"

namespace trireme::nn {

using Pass = PlanBuilder::Pass;

MlpLayer::MlpLayer(PlanBuilder& b, const LayerConfig& config)
    : config_(config), tokens_(b.placement().tokens()), output_([&] {
        add_up(b);
        return RowParallel(b, "mlp.down_proj", config.hidden, config.ffn_hidden, config.bias_mlp,
                           config.residual_init_std);
      }()) {
  const Placement& placement = b.placement();
  const bool gated = !config.activation;
  inner_ = b.product_buffer("inner", {tokens_, up_.rows}, placement.compute);
  active_ = b.buffer("active", {tokens_, gated ? up_.rows / 2 : up_.rows}, placement.compute);
  active_again_ = gated ? b.like(active_, "active again") : active_;
  dactive_ = b.product_buffer("dactive", b.spec(active_).shape, placement.compute);
  dinner_ = gated ? inner_ : dactive_;
}

void MlpLayer::add_up(PlanBuilder& b) {
  const std::int64_t inner = config_.ffn_hidden;
  const std::int64_t local =
      divide_exactly(inner, b.placement().tensor, "model.ffn_hidden", "parallel.tensor");
  const bool gated = !config_.activation;
  const auto add = [&](Parameter parameter, bool follows) {
    parameter.follows_previous = follows;
    return b.parameter(0, std::move(parameter));
  };
  ParameterId first{};
  if (gated)
    first = add(matrix("mlp.gate_proj.weight", inner, config_.hidden, 0, config_.init_std), false);
  const ParameterId up =
      add(matrix("mlp.up_proj.weight", inner, config_.hidden, 0, config_.init_std), gated);
  up_ = {gated ? first : up, gated ? 2 * local : local, config_.hidden, true,
         b.placement().products};
  if (!config_.bias_mlp) return;
  if (gated) first = add(split_bias("mlp.gate_proj.bias", inner), false);
  const ParameterId up_bias = add(split_bias("mlp.up_proj.bias", inner), gated);
  up_bias_ = {gated ? first : up_bias, up_.rows, 0, true};
}

void MlpLayer::run_forward(const StepContext& c, Slot gathered) const {
  if (config_.activation) {
    linear_activation(c, c.view(active_), c.view(inner_), c.view(gathered), up_, up_bias_,
                      *config_.activation);
  } else {
    linear(c, c.view(inner_), c.view(gathered), up_, up_bias_);
    kernels::swiglu_forward(c.view(inner_), c.view(active_));
  }
  linear(c, c.view(output_.partial()), c.view(active_), output_.weight());
}

void MlpLayer::forward(PlanBuilder& b, const NormLayer& norm) const {
  Step step;
  step.name = "mlp";
  step.reads = {norm.gathered()};
  step.writes = {inner_, active_, output_.partial()};
  step.weights_of = {0};
  step.flops = product_flops(tokens_, up_) + product_flops(tokens_, output_.weight());
  step.workspace =
      std::max(linear_workspace(tokens_, up_), linear_workspace(tokens_, output_.weight()));
  step.body = [self = *this, gathered = norm.gathered()](const StepContext& c) {
    self.run_forward(c, gathered);
  };
  b.step(Pass::forward, step);
  output_.sum(b);
}

void MlpLayer::run_backward(const StepContext& c, Slot dout, Slot dgathered) const {
  const TensorView inner = c.view(inner_);
  const TensorView dactive = c.view(dactive_);
  if (config_.activation) {
    linear_activation_gradient(c, c.view(dinner_), inner, c.view(dout), output_.weight(),
                               *config_.activation);
  } else {
    linear_input_gradient(c, dactive, c.view(dout), output_.weight());
    kernels::swiglu_backward(inner, dactive, c.view(dinner_), c.view(active_again_));
  }
  linear_input_gradient(c, c.view(dgathered), c.view(dinner_), up_);
}

void MlpLayer::backward(PlanBuilder& b, const NormLayer& norm, Slot dout) const {
  const Slot dwhole = output_.gather_gradient(b, dout);
  const double product = product_flops(tokens_, up_) + product_flops(tokens_, output_.weight());
  Step input;
  input.name = "mlp";
  input.reads = {dwhole, inner_};
  input.writes = {dactive_, norm.dgathered()};
  if (!config_.activation) input.writes.insert(input.writes.end(), {dinner_, active_again_});
  input.weights_of = {0};
  input.flops = product;
  input.workspace = std::max(linear_input_gradient_workspace(tokens_, up_),
                             linear_input_gradient_workspace(tokens_, output_.weight()));
  input.body = [self = *this, dwhole, dgathered = norm.dgathered()](const StepContext& c) {
    self.run_backward(c, dwhole, dgathered);
  };
  b.step(Pass::backward, input);
  norm.reduce_gradient(b, norm.dgathered());
  const Slot gathered = norm.gather_again(b);

  Step weight;
  weight.name = "mlp";
  weight.half = Half::weight;
  weight.reads = {dwhole, dout, active_again_, dinner_, gathered};
  weight.gradients_of = {0};
  weight.flops = product;
  weight.workspace = std::max(output_.weight_gradient_workspace(b),
                              linear_weight_gradient_workspace(tokens_, up_, up_bias_));
  weight.body = [self = *this, dwhole, dout, gathered](const StepContext& c) {
    self.output_.weight_gradient(c, c.view(dwhole), c.view(dout), c.view(self.active_again_));
    linear_weight_gradient(c, c.view(self.dinner_), c.view(gathered), self.up_, self.up_bias_);
  };
  b.step(Pass::backward, weight);
}

}  // namespace trireme::nn
