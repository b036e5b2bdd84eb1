#pragma once
// What the blocks of a transformer have in common, in the words of their kernels.

#include "kernels/activation/activation.hpp"
#include "kernels/norm/norm.hpp"
#include "kernels/rotary/rotary.hpp"
#include "lib/nn/plan.hpp"

#include <memory>
#include <optional>

namespace trireme::nn {

struct DropoutProbabilities {
  float embedding = 0;
  float attention = 0;
  float residual = 0;
};

/// Sizes are logical: of the whole model, not of one tensor rank.
struct LayerConfig {
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t ffn_hidden = 0;
  std::int64_t vocabulary = 0;
  std::int64_t context = 0;
  kernels::NormKind norm = kernels::NormKind::rms;
  float norm_epsilon = 1e-5f;
  /// Empty: SwiGLU.
  std::optional<kernels::Activation> activation;
  bool learned_positions = false;
  std::shared_ptr<kernels::RotaryTable> rotary;  ///< null: positions are learned
  bool qk_norm = false;
  bool bias_qkv = false;
  bool bias_projection = false;
  bool bias_mlp = false;
  bool tied_embeddings = false;
  DropoutProbabilities dropout;
  double init_std = 0.02;
  double residual_init_std = 0.02;  ///< of the matrices that write to the residual stream
};

}  // namespace trireme::nn
