#pragma once
// Small pieces that the blocks are made of: parameters of one kind, norms, products with fused
// matrices, and where a rank's rows of the residual stream stand in the micro-batch.

#include "kernels/elementwise/row_dropout.hpp"
#include "lib/nn/layer_config.hpp"

namespace trireme::nn {

// Parameters.

Parameter matrix(std::string name, std::int64_t out, std::int64_t in, int split_dim, double std);
Parameter vector(std::string name, std::int64_t size, Initialisation::Kind kind,
                 bool partial_gradient);
/// A bias of a column-parallel product: divided like the product's output.
Parameter split_bias(std::string name, std::int64_t size);

/// Several parameters that lie behind each other, seen as one matrix [rows, columns] or bias [rows]
/// (local sizes).
struct Fused {
  ParameterId first;
  std::int64_t rows = 0;
  std::int64_t columns = 0;  ///< 0: a bias
  bool exists = false;
  ProductRounding products = {};

  TensorView weight(const StepContext& context) const;
  TensorView gradient(const StepContext& context) const;
  bool accumulate(const StepContext& context) const { return context.accumulate(first); }
};

// Norms.

/// Norm of rows of `width` columns, or of groups of `width` columns: parameters and statistics.
struct NormPiece {
  kernels::NormKind kind = kernels::NormKind::rms;
  float epsilon = 0;
  ParameterId gamma;
  ParameterId beta;  ///< of LayerNorm
  Slot mean = Slot::none;
  Slot rstd = Slot::none;
  std::int64_t width = 0;

  /// Adds parameters "<name>.weight" (and ".bias") and the statistics of `rows` rows.
  static NormPiece add(PlanBuilder& builder, const std::string& name, kernels::NormKind kind,
                       float epsilon, std::int64_t width, std::int64_t rows, bool partial_gradient);
  std::vector<Slot> statistics() const;
  kernels::Norm kernel(const StepContext& context) const;
  kernels::NormStatistics saved(const StepContext& context) const;
  kernels::NormGradients gradients(const StepContext& context) const;
  /// Device memory that norm_backward works in, bytes.
  std::int64_t backward_workspace(const PlanBuilder& builder) const;
};

// Products.

// In fp8 gradients of outputs are e5m2, all else e4m3; results and sums are as without.

/// y = x W^T (+ bias)
void linear(const StepContext& context, const TensorView& y, const TensorView& x,
            const Fused& weight, const Fused& bias = {});
/// inner = x W^T (+ bias), y = f(inner)
void linear_activation(const StepContext& context, const TensorView& y, const TensorView& inner,
                       const TensorView& x, const Fused& weight, const Fused& bias,
                       kernels::Activation kind);
/// dx = dy W
void linear_input_gradient(const StepContext& context, const TensorView& dx, const TensorView& dy,
                           const Fused& weight);
/// dx = dy W f'(x): the gradient of what f, of which dy W is the gradient, took
void linear_activation_gradient(const StepContext& context, const TensorView& dx,
                                const TensorView& x, const TensorView& dy, const Fused& weight,
                                kernels::Activation kind);
/// dW (+)= dy^T x, and the bias's column sums
void linear_weight_gradient(const StepContext& context, const TensorView& dy, const TensorView& x,
                            const Fused& weight, const Fused& bias = {});
/// Device memory that each of these works in, with an activation or without, bytes; `rows` of x or
/// y.
std::int64_t linear_workspace(std::int64_t rows, const Fused& weight);
std::int64_t linear_input_gradient_workspace(std::int64_t rows, const Fused& weight);
std::int64_t linear_weight_gradient_workspace(std::int64_t rows, const Fused& weight,
                                              const Fused& bias = {});
inline double product_flops(std::int64_t rows, const Fused& weight) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(weight.rows) *
         static_cast<double>(weight.columns);
}

// Rows of the residual stream.

/// Places of dropout in a layer; layer x 8 + place names a mask.
enum class DropoutPlace : std::uint8_t { embedding, attention, projection, mlp };

DropoutKey dropout_key(const StepContext& context, DropoutPlace place, float probability);
/// Dropout of this rank's rows of the residual stream: under sequence parallelism a part of the
/// micro-batch.
kernels::RowDropout stream_dropout(const StepContext& context, const Placement& placement,
                                   DropoutPlace place, float probability);
/// Throws Exit::kUsage unless a rank's rows are whole sequences or an equal part of one.
void check_sequence_parallel(const Placement& placement);

}  // namespace trireme::nn
