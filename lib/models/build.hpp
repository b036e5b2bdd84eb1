#pragma once
// Language models from a deck's model section: assembly only.

#include "lib/deck/model_config.hpp"
#include "lib/models/model.hpp"

namespace trireme::models {

/// Blocks "embedding", "layers.0" ..., "head" of a GPT or LLaMA. Throws Exit::kUsage, with the
/// nearest valid choice, where heads, kv_heads, ffn_hidden or (sequence parallel) tokens do not
/// divide by placement.tensor.
Model build_language_model(const deck::ModelConfig& config, const nn::Placement& placement);

}  // namespace trireme::models
