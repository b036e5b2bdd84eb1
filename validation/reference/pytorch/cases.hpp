#pragma once
// The models and batches that are compared with PyTorch, and what Trireme makes of them.

#include "validation/harness/comparison.hpp"
#include "validation/harness/tiny_models.hpp"

#include <string>
#include <vector>

namespace trireme::validation {

struct ReferenceCase {
  std::string name;
  deck::ModelConfig model;
  nn::Placement placement;
  std::vector<LocalBatch> batches;  ///< kMicroBatches for each of kSteps steps
};

inline constexpr int kSteps = 10;
inline constexpr int kMicroBatches = 2;

/// "gpt", "llama" and their relatives; weights as scramble() makes them.
std::vector<ReferenceCase> reference_cases();
/// AdamW with weight decay on matrices, clipping and a constant learning rate.
deck::Deck reference_deck();

struct ReferenceResult {
  std::vector<double> logits;  ///< [tokens, vocabulary] of the first micro-batch
  double loss = 0;             ///< mean over counted tokens of the first step
  double gradient_norm = 0;
  StepOutcome first;           ///< its gradients, of the mean loss
  std::vector<double> losses;  ///< of all steps, in training
};
/// `weights` receives the initial weights by tensor when not null.
ReferenceResult run_case(const ReferenceCase& reference,
                         std::vector<std::vector<double>>* weights = nullptr);

}  // namespace trireme::validation
