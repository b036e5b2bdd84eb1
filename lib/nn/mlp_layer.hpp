#pragma once
// The feed-forward sublayer between the norm and the residual addition.

#include "lib/nn/residual_layer.hpp"
#include "lib/nn/row_parallel.hpp"

namespace trireme::nn {

class MlpLayer {
 public:
  MlpLayer(PlanBuilder& b, const LayerConfig& config);

  void forward(PlanBuilder& b, const NormLayer& norm) const;
  /// From the gradient of out() on this rank's rows to norm's dnormed.
  void backward(PlanBuilder& b, const NormLayer& norm, Slot dout) const;

  Slot out() const { return output_.out(); }
  const Fused& bias() const { return output_.bias(); }

 private:
  void add_up(PlanBuilder& b);
  void run_forward(const StepContext& c, Slot gathered) const;
  void run_backward(const StepContext& c, Slot dout, Slot dgathered) const;

  LayerConfig config_;
  std::int64_t tokens_;
  Fused up_;  // SwiGLU: gate | up
  Fused up_bias_;
  RowParallel output_;
  /// Before the activation, and its gradient: in place of it in SwiGLU, else in place of dactive_.
  Slot inner_, dinner_;
  /// Behind the activation. SwiGLU rebuilds it in backward instead of keeping it.
  Slot active_, active_again_;
  Slot dactive_;
};

}  // namespace trireme::nn
