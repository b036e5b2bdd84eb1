#include "lib/nn/pieces.hpp"

#include "kernels/activation/gemm_activation.hpp"
#include "kernels/elementwise/elementwise.hpp"

#include <algorithm>

namespace trireme::nn {

Parameter matrix(std::string name, std::int64_t out, std::int64_t in, int split_dim, double std) {
  Parameter made;
  made.name = std::move(name);
  made.shape = {out, in};
  made.split_dim = split_dim;
  made.decays = true;
  made.init = {Initialisation::Kind::normal, std};
  return made;
}

Parameter vector(std::string name, std::int64_t size, Initialisation::Kind kind,
                 bool partial_gradient) {
  Parameter made;
  made.name = std::move(name);
  made.shape = {size};
  made.partial_gradient = partial_gradient;
  made.init.kind = kind;
  return made;
}

Parameter split_bias(std::string name, std::int64_t size) {
  Parameter made = vector(std::move(name), size, Initialisation::Kind::zeros, false);
  made.split_dim = 0;
  return made;
}

TensorView Fused::weight(const StepContext& context) const {
  TensorView view = context.weight(first);
  view.shape = columns > 0 ? Shape{rows, columns} : Shape{rows};
  return view;
}

TensorView Fused::gradient(const StepContext& context) const {
  TensorView view = context.gradient(first);
  view.shape = columns > 0 ? Shape{rows, columns} : Shape{rows};
  return view;
}

NormPiece NormPiece::add(PlanBuilder& builder, const std::string& name, kernels::NormKind kind,
                         float epsilon, std::int64_t width, std::int64_t rows,
                         bool partial_gradient) {
  NormPiece made;
  made.kind = kind;
  made.epsilon = epsilon;
  made.width = width;
  made.gamma = builder.parameter(
      0, vector(name + ".weight", width, Initialisation::Kind::ones, partial_gradient));
  made.rstd = builder.buffer(name + ".rstd", {rows}, DType::f32);
  if (kind == kernels::NormKind::layer) {
    made.beta = builder.parameter(
        0, vector(name + ".bias", width, Initialisation::Kind::zeros, partial_gradient));
    made.mean = builder.buffer(name + ".mean", {rows}, DType::f32);
  }
  return made;
}

std::vector<Slot> NormPiece::statistics() const {
  return mean == Slot::none ? std::vector<Slot>{rstd} : std::vector<Slot>{rstd, mean};
}

kernels::Norm NormPiece::kernel(const StepContext& context) const {
  kernels::Norm norm{kind, epsilon, context.weight(gamma), {}};
  if (kind == kernels::NormKind::layer) norm.beta = context.weight(beta);
  return norm;
}

kernels::NormStatistics NormPiece::saved(const StepContext& context) const {
  return {mean == Slot::none ? TensorView{} : context.view(mean), context.view(rstd)};
}

kernels::NormGradients NormPiece::gradients(const StepContext& context) const {
  kernels::NormGradients made{context.gradient(gamma), {}, context.accumulate(gamma)};
  if (kind == kernels::NormKind::layer) made.beta = context.gradient(beta);
  return made;
}

std::int64_t NormPiece::backward_workspace(const PlanBuilder& builder) const {
  return kernels::norm_backward_workspace(builder.spec(rstd).shape.elements(), width);
}

namespace {

/// a is the gradient of an output.
constexpr kernels::Fp8Formats kOfGradient{DType::e5m2, DType::e4m3};

void product(const Fused& weight, const TensorView& c, const TensorView& a, const TensorView& b,
             const kernels::Fp8Formats& formats, const kernels::GemmOptions& options) {
  if (weight.products.fp8)
    kernels::gemm_fp8(c, a, b, formats, options);
  else
    kernels::gemm(c, a, b, options);
}

std::int64_t product_workspace(const Fused& weight, std::int64_t m, std::int64_t n,
                               std::int64_t k) {
  return weight.products.fp8 ? kernels::gemm_fp8_workspace(m, n, k) : kernels::kGemmWorkspace;
}

kernels::GemmOptions options_of(const Fused& weight) {
  kernels::GemmOptions options;
  options.tf32 = weight.products.tf32;
  return options;
}

/// Those of x W^T + bias.
kernels::GemmOptions linear_options(const StepContext& context, const Fused& weight,
                                    const Fused& bias) {
  kernels::GemmOptions options = options_of(weight);
  options.transpose_b = true;
  if (bias.exists) options.bias = bias.weight(context);
  return options;
}

}  // namespace

void linear(const StepContext& context, const TensorView& y, const TensorView& x,
            const Fused& weight, const Fused& bias) {
  product(weight, y, x, weight.weight(context), {}, linear_options(context, weight, bias));
}

void linear_activation(const StepContext& context, const TensorView& y, const TensorView& inner,
                       const TensorView& x, const Fused& weight, const Fused& bias,
                       kernels::Activation kind) {
  if (!weight.products.fp8)
    return kernels::gemm_activation(y, inner, x, weight.weight(context), kind,
                                    linear_options(context, weight, bias));
  linear(context, inner, x, weight, bias);
  kernels::activation_forward(kind, inner, {}, y);
}

void linear_input_gradient(const StepContext& context, const TensorView& dx, const TensorView& dy,
                           const Fused& weight) {
  product(weight, dx, dy, weight.weight(context), kOfGradient, options_of(weight));
}

void linear_activation_gradient(const StepContext& context, const TensorView& dx,
                                const TensorView& x, const TensorView& dy, const Fused& weight,
                                kernels::Activation kind) {
  if (!weight.products.fp8)
    return kernels::gemm_activation_slope(dx, x, dy, weight.weight(context), kind,
                                          options_of(weight));
  linear_input_gradient(context, dx, dy, weight);
  kernels::activation_backward(kind, x, {}, dx, dx);
}

void linear_weight_gradient(const StepContext& context, const TensorView& dy, const TensorView& x,
                            const Fused& weight, const Fused& bias) {
  kernels::GemmOptions options = options_of(weight);
  options.transpose_a = true;
  options.accumulate = weight.accumulate(context);
  product(weight, weight.gradient(context), dy, x, kOfGradient, options);
  if (bias.exists) kernels::column_sums(dy, bias.gradient(context), bias.accumulate(context));
}

std::int64_t linear_workspace(std::int64_t rows, const Fused& weight) {
  return product_workspace(weight, rows, weight.rows, weight.columns);
}

std::int64_t linear_input_gradient_workspace(std::int64_t rows, const Fused& weight) {
  return product_workspace(weight, rows, weight.columns, weight.rows);
}

std::int64_t linear_weight_gradient_workspace(std::int64_t rows, const Fused& weight,
                                              const Fused& bias) {
  const std::int64_t product = product_workspace(weight, weight.rows, weight.columns, rows);
  return bias.exists ? std::max(product, kernels::column_sums_workspace(rows, bias.rows)) : product;
}

DropoutKey dropout_key(const StepContext& context, DropoutPlace place, float probability) {
  DropoutKey key;
  // Who does not draw must not ask where random streams stand: the answer changes every step.
  if (probability == 0 || !context.training()) return key;
  constexpr std::uint64_t kPlaces = 8;
  const RandomPlace place_in_run = context.random_place();
  key.seed = place_in_run.seed;
  key.step = static_cast<std::uint64_t>(place_in_run.step);
  key.layer_place =
      static_cast<std::uint64_t>(context.layer()) * kPlaces + static_cast<std::uint64_t>(place);
  key.probability = probability;
  key.first_sample = place_in_run.first_sample;
  return key;
}

kernels::RowDropout stream_dropout(const StepContext& context, const Placement& placement,
                                   DropoutPlace place, float probability) {
  kernels::RowDropout dropout;
  dropout.key = dropout_key(context, place, probability);
  dropout.positions = placement.sequence;
  if (placement.sequence_parallel) {
    const std::int64_t first_row = context.tensor_rank() * placement.local_tokens();
    dropout.key.first_sample += first_row / placement.sequence;
    dropout.first_position = first_row % placement.sequence;
    dropout.positions = std::min(placement.sequence, placement.local_tokens());
  }
  return dropout;
}

void check_sequence_parallel(const Placement& placement) {
  if (!placement.sequence_parallel) return;
  const std::int64_t rows = divide_exactly(placement.tokens(), placement.tensor,
                                           "tokens of a micro-batch", "parallel.tensor");
  check(rows % placement.sequence == 0 || placement.sequence % rows == 0, Exit::kUsage,
        "parallel.sequence divides the {} tokens of a micro-batch into {} rows a tensor rank, "
        "which are neither whole "
        "sequences of {} nor an equal part of one; choose parallel.tensor or "
        "train_micro_batch_size_per_gpu so "
        "that one divides the other",
        placement.tokens(), rows, placement.sequence);
}

}  // namespace trireme::nn
