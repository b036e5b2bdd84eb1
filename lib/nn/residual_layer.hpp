#pragma once
// The norm before a sublayer and the addition behind it, on the residual stream.

#include "lib/nn/pieces.hpp"

namespace trireme::nn {

/// normed = norm(x) on this rank's rows of the residual stream; gathered: the rows of all tensor
/// ranks.
class NormLayer {
 public:
  NormLayer(PlanBuilder& b, const LayerConfig& config, const std::string& name);

  void forward(PlanBuilder& b, Slot x) const;
  /// dx = skip + gradient through the norm, from dnormed(); adds the norm's own gradients.
  void backward(PlanBuilder& b, Slot x, Slot skip, Slot dx) const;

  /// [tokens, hidden]: what column-parallel products read.
  Slot gathered() const { return gathered_; }
  /// Whole input gradient, a partial sum, becomes this rank's rows of the full one.
  void reduce_gradient(PlanBuilder& b, Slot dgathered) const;
  /// The gathered rows again, for weight gradients: gathered once more rather than kept.
  Slot gather_again(PlanBuilder& b) const;
  Slot dgathered() const { return dgathered_; }

 private:
  friend class ResidualLayer;
  void gather(PlanBuilder& b) const;

  bool parallel_;
  NormPiece norm_;
  Slot normed_, gathered_, gathered_again_, dgathered_, dnormed_;
};

/// out = x + dropout(delta + bias), and the norm that follows, in one pass.
class ResidualLayer {
 public:
  ResidualLayer(const LayerConfig& config, const Placement& placement, const Fused& bias,
                DropoutPlace place)
      : placement_(placement), bias_(bias), place_(place), probability_(config.dropout.residual) {}

  void forward(PlanBuilder& b, Slot x, Slot delta, Slot out, const NormLayer* next = nullptr) const;
  /// Slot with the gradient of delta: dout itself unless there is dropout.
  Slot backward(PlanBuilder& b, Slot dout) const;

 private:
  kernels::Residual kernel(const StepContext& c, Slot delta) const;

  Placement placement_;
  Fused bias_;
  DropoutPlace place_;
  float probability_;
};

}  // namespace trireme::nn
