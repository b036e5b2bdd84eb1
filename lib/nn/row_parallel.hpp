#pragma once
// A row-parallel product at the end of a sublayer: its output is a partial sum over tensor ranks.

#include "lib/nn/pieces.hpp"

namespace trireme::nn {

class RowParallel {
 public:
  /// Adds parameter "<name>.weight" [out, in], divided along `in`, and with `bias` "<name>.bias"
  /// [out], which is added behind the sum (by the residual layer).
  RowParallel(PlanBuilder& b, const std::string& name, std::int64_t out, std::int64_t in, bool bias,
              double std);

  const Fused& weight() const { return weight_; }
  const Fused& bias() const { return bias_; }
  /// [tokens, out], to be filled by linear(); then sum() makes out() [local tokens, out] of it.
  Slot partial() const { return partial_; }
  Slot out() const { return out_; }
  void sum(PlanBuilder& b) const;
  /// Gradient of out() on this rank's rows -> [tokens, out].
  Slot gather_gradient(PlanBuilder& b, Slot dout) const;
  /// dW (+)= dwhole^T x over all tokens, with dwhole [tokens, out] from gather_gradient() and x
  /// [tokens, in / tensor]; db (+)= column sums of dout, the gradient of this rank's rows alone.
  void weight_gradient(const StepContext& context, const TensorView& dwhole, const TensorView& dout,
                       const TensorView& x) const;
  /// Device memory that it works in, bytes.
  std::int64_t weight_gradient_workspace(const PlanBuilder& b) const;

 private:
  bool parallel_;
  Fused weight_;
  Fused bias_;
  Slot partial_, out_, dpartial_;
};

}  // namespace trireme::nn
