#include "validation/reference/pytorch/engine_case.hpp"

#include "validation/harness/engine_run.hpp"

#include <algorithm>

namespace trireme::validation {
namespace {

/// Targets that count in a step; the same in each.
double counted_in_step(const std::vector<LocalBatch>& batches) {
  double counted = 0;
  for (int b = 0; b < kMicroBatches; ++b) {
    const std::vector<std::int32_t>& tokens = batches[static_cast<std::size_t>(b)].tokens;
    const auto targets = tokens.begin() + std::ssize(tokens) / 2;
    counted +=
        static_cast<double>(std::count_if(targets, tokens.end(), [](auto t) { return t >= 0; }));
  }
  return counted;
}

deck::Deck deck_of(const ReferenceCase& reference) {
  deck::Deck deck = engine_deck(reference.model);
  const deck::Deck wanted = reference_deck();
  deck.optimizer = wanted.optimizer;
  deck.gradient_clipping = wanted.gradient_clipping;
  deck.batch.micro = reference.placement.micro_batch;
  deck.batch.accumulation = kMicroBatches;
  deck.batch.global = deck.batch.micro * kMicroBatches;
  deck.data.attention_across_documents = reference.placement.attention_across_documents;
  return deck;
}

}  // namespace

ReferenceResult run_case_by_engine(const comm::World& world, const ReferenceCase& reference) {
  const deck::Deck deck = deck_of(reference);
  const double counted = counted_in_step(reference.batches);
  const double positions = static_cast<double>(deck.batch.global * deck.model.context);
  EngineRun run(world, deck, {.gradient_factor = positions / counted});
  run.feed(reference.batches);
  ReferenceResult result;
  for (int step = 0; step < kSteps; ++step) {
    const engine::StepResult made = run.step();
    result.losses.push_back(made.loss_sum / counted);
    if (step > 0) continue;
    result.loss = result.losses[0];
    result.gradient_norm = made.decision.gradient.norm;
    result.first = run.outcome();
  }
  return result;
}

}  // namespace trireme::validation
