#pragma once
// Small models for the laws of lib/nn and lib/models: every form that a deck can ask for, with
// weights large enough that every path carries a gradient.

#include "lib/deck/model_config.hpp"
#include "lib/models/build.hpp"
#include "validation/harness/local_run.hpp"

#include <string>
#include <vector>

namespace trireme::validation {

/// RMSNorm, rotary, SwiGLU, 2 queries a key, untied, no biases. Vocabulary 29 divides by nothing.
inline deck::ModelConfig tiny_llama() {
  deck::ModelConfig model;
  model.family = deck::Family::llama;
  model.layers = 2;
  model.hidden = 16;
  model.heads = 8;
  model.kv_heads = 4;
  model.head_dim = 6;
  model.ffn_hidden = 20;
  model.vocabulary = 29;
  model.context = 8;
  model.norm = {deck::NormType::rmsnorm, 1e-5};
  model.activation = deck::Activation::swiglu;
  model.positions = deck::Positions::rotary;
  model.bias = {false, false, false};
  model.tied_embeddings = false;
  model.init = {0.3, false};
  return model;
}

/// LayerNorm, learned positions, GELU, tied, biases everywhere.
inline deck::ModelConfig tiny_gpt() {
  deck::ModelConfig model = tiny_llama();
  model.family = deck::Family::gpt;
  model.kv_heads = model.heads;
  model.norm = {deck::NormType::layernorm, 1e-5};
  model.activation = deck::Activation::gelu_tanh;
  model.positions = deck::Positions::learned;
  model.bias = {true, true, true};
  model.tied_embeddings = true;
  return model;
}

struct NamedModel {
  std::string name;
  deck::ModelConfig config;
};

inline std::vector<NamedModel> tiny_models() {
  std::vector<NamedModel> all{{"llama", tiny_llama()}, {"gpt", tiny_gpt()}};
  deck::ModelConfig other = tiny_llama();
  other.qk_norm = true;
  other.bias = {true, true, true};
  other.tied_embeddings = true;
  all.push_back({"llama with q/k norm, biases, tied", other});
  other = tiny_gpt();
  other.activation = deck::Activation::gelu;
  other.tied_embeddings = false;
  other.bias = {false, true, false};
  all.push_back({"gpt with exact GELU, untied, few biases", other});
  other = tiny_gpt();
  other.activation = deck::Activation::silu;
  other.positions = deck::Positions::rotary;
  other.kv_heads = 4;
  other.qk_norm = true;
  all.push_back({"gpt with SiLU, rotary, grouped queries, q/k norm", other});
  return all;
}

inline nn::Placement tiny_placement(std::int64_t tensor = 1, bool sequence_parallel = false,
                                    DType compute = DType::f32) {
  nn::Placement placement;
  placement.tensor = tensor;
  placement.sequence_parallel = sequence_parallel;
  placement.micro_batch = 2;
  placement.sequence = 8;
  placement.compute = compute;
  return placement;
}

/// Initialises norms and biases too, which start as ones and zeros, so that nothing is symmetric.
inline void scramble(LocalRun& run) {
  run.initialise(7);
  for (const LocalTensor& tensor : run.tensors()) {
    if (tensor.shape.rank() != 1) continue;
    std::vector<double> values = run.get(tensor);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] +=
          0.2 * static_cast<double>(static_cast<int>((i * 7 + tensor.name.size()) % 5) - 2);
    run.set(tensor, values);
  }
}

inline nn::StepScalars tiny_scalars() {
  nn::StepScalars scalars;
  scalars.seed = 11;
  scalars.step = 3;
  return scalars;
}

}  // namespace trireme::validation
