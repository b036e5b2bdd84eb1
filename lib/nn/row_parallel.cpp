#include "lib/nn/row_parallel.hpp"

#include "kernels/elementwise/elementwise.hpp"

namespace trireme::nn {

using Pass = PlanBuilder::Pass;

RowParallel::RowParallel(PlanBuilder& b, const std::string& name, std::int64_t out, std::int64_t in,
                         bool bias, double std)
    : parallel_(b.placement().sequence_parallel) {
  const Placement& placement = b.placement();
  const std::int64_t local = divide_exactly(in, placement.tensor, name, "parallel.tensor");
  weight_ = {b.parameter(0, matrix(name + ".weight", out, in, 1, std)), out, local, true,
             placement.products};
  if (bias)
    bias_ = {b.parameter(0, vector(name + ".bias", out, Initialisation::Kind::zeros, parallel_)),
             out, 0, true};
  const Shape all{placement.tokens(), out};
  partial_ = b.buffer(name + ".partial", all, placement.compute);
  out_ = parallel_ ? b.buffer(name + ".out", {placement.local_tokens(), out}, placement.compute)
                   : partial_;
  dpartial_ = parallel_ ? b.buffer(name + ".dpartial", all, placement.compute) : Slot::none;
}

void RowParallel::sum(PlanBuilder& b) const {
  if (parallel_) {
    b.reduce_scatter(Pass::forward, partial_, out_);
  } else {
    b.all_reduce(Pass::forward, partial_);
  }
}

Slot RowParallel::gather_gradient(PlanBuilder& b, Slot dout) const {
  if (!parallel_) return dout;
  b.all_gather(Pass::backward, dout, dpartial_);
  return dpartial_;
}

void RowParallel::weight_gradient(const StepContext& context, const TensorView& dwhole,
                                  const TensorView& dout, const TensorView& x) const {
  linear_weight_gradient(context, dwhole, x, weight_);
  if (bias_.exists) kernels::column_sums(dout, bias_.gradient(context), bias_.accumulate(context));
}

std::int64_t RowParallel::weight_gradient_workspace(const PlanBuilder& b) const {
  const std::int64_t rows = b.placement().tokens();
  return std::max(linear_weight_gradient_workspace(rows, weight_),
                  bias_.exists ? kernels::column_sums_workspace(rows, bias_.rows) : 0);
}

}  // namespace trireme::nn
