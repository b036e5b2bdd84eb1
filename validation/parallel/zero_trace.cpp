#include "validation/parallel/zero_trace.hpp"

namespace trireme::validation {

Trace trace_of(const comm::World& world, const deck::Deck& deck, const TraceOptions& options) {
  constexpr int kSteps = 3;
  EngineRun run(world, deck, options.faults, options.executor);
  Trace made;
  for (int step = 0; step < kSteps; ++step) {
    const engine::StepResult result = run.step();
    made.losses.push_back(result.loss_sum);
    made.norms.push_back(result.decision.gradient.norm);
    if (step > 0) continue;
    if (options.gradients && deck.parallel.zero.update_per == deck::UpdatePer::step)
      made.first = run.outcome();
    if (options.after_first) options.after_first(run);
  }
  made.masters = run.masters();
  made.evaluation = run.evaluate();
  if (options.at_end) options.at_end(run);
  return made;
}

}  // namespace trireme::validation
