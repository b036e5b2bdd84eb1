#include "lib/engine/finite.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "lib/program/print.hpp"

#include <cmath>

namespace trireme::engine {
namespace {

double loss_in(const TensorView& view) {
  double loss = 0;
  if (view.space == MemorySpace::host) return *view.as<double>();
  copy_bytes(&loss, view.data, sizeof(loss));
  current_stream().wait();
  return loss;
}

}  // namespace

void expect_finite(const models::Model& model, const program::Compiled& compiled,
                   const program::Instruction& segment, const SegmentContext& context,
                   std::int64_t step) {
  const nn::BlockPlan& plan = *model.blocks[static_cast<std::size_t>(segment.block)].plan;
  const bool backward = segment.pass == program::Pass::backward;
  const nn::Step& body =
      (backward ? plan.backward : plan.forward)[static_cast<std::size_t>(segment.step)];
  for (const nn::Slot slot : body.writes) {
    const TensorView view = context.view(slot);
    const bool loss = view.dtype == DType::f64;
    const std::int64_t bad = loss ? !std::isfinite(loss_in(view)) : kernels::count_non_finite(view);
    check(bad == 0, Exit::kNumbers,
          "step {}: {} values of \"{}\" ({}) are NaN or infinite, first in {}", step + 1, bad,
          plan.buffers[static_cast<std::size_t>(slot)].name, view.shape.text(),
          program::describe(model, compiled, segment));
  }
}

}  // namespace trireme::engine
