#pragma once
// Self-attention between the norm and the residual addition: projections divided by heads.

#include "kernels/attention/attention.hpp"
#include "lib/nn/residual_layer.hpp"
#include "lib/nn/row_parallel.hpp"

namespace trireme::nn {

class AttentionLayer {
 public:
  AttentionLayer(PlanBuilder& b, const LayerConfig& config);

  void forward(PlanBuilder& b, const NormLayer& norm) const;
  /// From the gradient of out() on this rank's rows to norm's dnormed.
  void backward(PlanBuilder& b, const NormLayer& norm, Slot dout) const;

  Slot out() const { return output_.out(); }
  const Fused& bias() const { return output_.bias(); }

 private:
  void add_projections(PlanBuilder& b);
  void run_forward(const StepContext& c, Slot gathered) const;
  void run_backward(const StepContext& c, Slot dout, Slot dgathered) const;
  void rotate(const TensorView& packed, kernels::Rotation rotation) const;
  kernels::AttentionOptions options(const StepContext& c) const;
  /// Queries (0), keys (1) or values (2) of a packed [tokens, (heads + 2 kv_heads) head_dim].
  TensorView part(const TensorView& packed, int which) const;
  /// Whether attention may be a library's: neither documents nor (in backward) dropout.
  bool fusible(bool backward) const {
    return documents_ == Slot::none && !(backward && config_.dropout.attention > 0);
  }
  /// Queries and keys as attention reads them: normed and rotated. Without q/k norm the projection
  /// is rotated in place, because backward can turn the gradient back; norms need what they read.
  Slot ready() const { return rotated_ == Slot::none ? qkv_ : rotated_; }

  LayerConfig config_;
  kernels::AttentionShape shape_;  // of this tensor rank
  Fused qkv_weight_;
  Fused qkv_bias_;
  NormPiece q_norm_, k_norm_;
  RowParallel output_;
  Slot qkv_, rotated_ = Slot::none, attended_, lse_, dattended_, dqkv_, documents_ = Slot::none;
};

}  // namespace trireme::nn
