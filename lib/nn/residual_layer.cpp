#include "lib/nn/residual_layer.hpp"

namespace trireme::nn {

using Pass = PlanBuilder::Pass;

NormLayer::NormLayer(PlanBuilder& b, const LayerConfig& config, const std::string& name)
    : parallel_(b.placement().sequence_parallel) {
  const Placement& placement = b.placement();
  norm_ = NormPiece::add(b, name, config.norm, config.norm_epsilon, config.hidden,
                         placement.local_tokens(), placement.sequence_parallel);
  const Shape stream{placement.local_tokens(), config.hidden};
  const Shape all{placement.tokens(), config.hidden};
  normed_ = b.buffer(name + ".normed", stream, placement.compute);
  gathered_ = parallel_ ? b.buffer(name + ".gathered", all, placement.compute) : normed_;
  gathered_again_ =
      parallel_ ? b.buffer(name + ".gathered again", all, placement.compute) : normed_;
  dgathered_ = b.buffer(name + ".dgathered", all, placement.compute);
  dnormed_ = parallel_ ? b.buffer(name + ".dnormed", stream, placement.compute) : dgathered_;
}

void NormLayer::gather(PlanBuilder& b) const {
  if (parallel_) b.all_gather(Pass::forward, normed_, gathered_);
}

void NormLayer::forward(PlanBuilder& b, Slot x) const {
  Step step;
  step.name = "norm";
  step.reads = {x};
  step.writes = norm_.statistics();
  step.writes.push_back(normed_);
  step.weights_of = {0};
  step.body = [norm = norm_, x, normed = normed_](const StepContext& c) {
    kernels::norm_forward(norm.kernel(c), c.view(x), c.view(normed), norm.saved(c));
  };
  b.step(Pass::forward, step);
  gather(b);
}

void NormLayer::reduce_gradient(PlanBuilder& b, Slot dgathered) const {
  if (parallel_) {
    b.reduce_scatter(Pass::backward, dgathered, dnormed_);
  } else {
    b.all_reduce(Pass::backward, dgathered);
  }
}

Slot NormLayer::gather_again(PlanBuilder& b) const {
  if (parallel_) b.all_gather(Pass::backward, normed_, gathered_again_);
  return gathered_again_;
}

void NormLayer::backward(PlanBuilder& b, Slot x, Slot skip, Slot dx) const {
  Step step;
  step.name = "norm";
  step.reads = norm_.statistics();
  step.reads.insert(step.reads.end(), {x, dnormed_, skip});
  step.writes = {dx};
  step.weights_of = step.gradients_of = {0};
  step.workspace = norm_.backward_workspace(b);
  step.body = [norm = norm_, x, skip, dx, dnormed = dnormed_](const StepContext& c) {
    kernels::norm_backward(norm.kernel(c), c.view(x), c.view(dnormed), norm.saved(c), c.view(skip),
                           c.view(dx), norm.gradients(c));
  };
  b.step(Pass::backward, step);
}

kernels::Residual ResidualLayer::kernel(const StepContext& c, Slot delta) const {
  return {c.view(delta), bias_.exists ? bias_.weight(c) : TensorView{},
          stream_dropout(c, placement_, place_, probability_)};
}

void ResidualLayer::forward(PlanBuilder& b, Slot x, Slot delta, Slot out,
                            const NormLayer* next) const {
  Step step;
  step.name = "residual";
  step.reads = {x, delta};
  step.writes = {out};
  if (next || bias_.exists) step.weights_of = {0};
  if (!next) {
    step.body = [self = *this, x, delta, out](const StepContext& c) {
      kernels::residual_forward(self.kernel(c, delta), c.view(x), c.view(out));
    };
    b.step(Pass::forward, step);
    return;
  }
  const std::vector<Slot> statistics = next->norm_.statistics();
  step.writes.insert(step.writes.end(), statistics.begin(), statistics.end());
  step.writes.push_back(next->normed_);
  step.body = [self = *this, norm = next->norm_, normed = next->normed_, x, delta,
               out](const StepContext& c) {
    kernels::residual_norm_forward(norm.kernel(c), self.kernel(c, delta), c.view(x), c.view(out),
                                   c.view(normed), norm.saved(c));
  };
  b.step(Pass::forward, step);
  next->gather(b);
}

Slot ResidualLayer::backward(PlanBuilder& b, Slot dout) const {
  if (probability_ == 0) return dout;
  const Slot ddelta = b.like(dout, "ddelta");
  Step step;
  step.name = "residual";
  step.reads = {dout};
  step.writes = {ddelta};
  step.body = [self = *this, dout, ddelta](const StepContext& c) {
    const auto dropout = stream_dropout(c, self.placement_, self.place_, self.probability_);
    kernels::apply_dropout(c.view(dout), dropout, c.view(ddelta));
  };
  b.step(Pass::backward, step);
  return ddelta;
}

}  // namespace trireme::nn
