#include "validation/reference/pytorch/cases.hpp"

#include <algorithm>

namespace trireme::validation {
namespace {

std::int64_t counted_tokens(const LocalBatch& batch) {
  const auto half = static_cast<std::ptrdiff_t>(batch.tokens.size() / 2);
  return half - std::count(batch.tokens.begin() + half, batch.tokens.end(), -1);
}

}  // namespace

std::vector<ReferenceCase> reference_cases() {
  const std::vector<std::string> names{"gpt", "llama", "llama-norms", "gpt-exact", "gpt-rotary"};
  auto models = tiny_models();
  std::swap(models[0], models[1]);
  std::vector<ReferenceCase> cases;
  for (std::size_t i = 0; i < names.size(); ++i) {
    ReferenceCase made;
    made.name = names[i];
    made.model = models.at(i).config;
    made.model.hidden = 24;
    made.model.context = 16;
    made.placement = tiny_placement();
    made.placement.sequence = made.model.context;
    made.placement.attention_across_documents = made.name != "llama-norms";
    made.batches = local_batches(made.placement, made.model.vocabulary, kSteps * kMicroBatches, 17);
    cases.push_back(std::move(made));
  }
  return cases;
}

deck::Deck reference_deck() {
  deck::Deck deck;
  deck.optimizer.type = deck::OptimizerType::adamw;
  deck.optimizer.lr = 3e-3;
  deck.optimizer.weight_decay = 0.1;
  deck.optimizer.beta2 = 0.95;
  deck.gradient_clipping = 1;
  return deck;
}

ReferenceResult run_case(const ReferenceCase& reference,
                         std::vector<std::vector<double>>* weights) {
  const models::Model model = models::build_language_model(reference.model, reference.placement);
  LocalRun run(model);
  scramble(run);
  if (weights)
    for (const LocalTensor& tensor : run.tensors()) weights->push_back(run.get(tensor));

  ReferenceResult result;
  nn::StepScalars evaluation;
  evaluation.training = false;
  LocalOptions forward;
  forward.backward = false;
  run.run({reference.batches[0]}, evaluation, forward);
  result.logits = run.logits();

  const deck::Deck deck = reference_deck();
  optim::StepControl control(deck);
  for (int step = 0; step < kSteps; ++step) {
    const auto first = reference.batches.begin() + step * kMicroBatches;
    const std::vector<LocalBatch> batches(first, first + kMicroBatches);
    double tokens = 0;
    for (const LocalBatch& batch : batches) tokens += static_cast<double>(counted_tokens(batch));
    nn::StepScalars scalars;
    scalars.step = step;
    scalars.gradient_scale = 1 / tokens;
    if (step == 0) {
      result.first = outcome(run, batches, scalars);
      result.loss = result.first.loss / tokens;
      result.losses.push_back(result.loss);
    } else {
      result.losses.push_back(run.run(batches, scalars) / tokens);
    }
    const auto decision = control.decide({.sum_of_squares = run.sum_of_squares()});
    if (step == 0) result.gradient_norm = decision.gradient.norm;
    run.update(deck.optimizer, decision.scalars);
  }
  return result;
}

}  // namespace trireme::validation
