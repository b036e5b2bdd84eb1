#pragma once
// The model section of a deck, resolved: every dim is a number, presets and family defaults are
// applied. Plain data; what a model is made of from it is lib/models' business.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::deck {

enum class Family { gpt, llama };
enum class NormType { layernorm, rmsnorm };
enum class Activation {
  gelu,       ///< 0.5 x (1 + erf(x / sqrt 2))
  gelu_tanh,  ///< GPT-2's tanh approximation
  silu,       ///< x sigmoid(x)
  swiglu,     ///< silu(gate) * up: the feed-forward part has three matrices (Shazeer 2020, eq. 6)
};
enum class Positions {
  learned,  ///< a table [context][hidden] added to the token embedding
  rotary,   ///< queries and keys are rotated (Su et al. 2021, eq. 34), pairs (i, i + head_dim/2)
};

struct NormConfig {
  NormType type = NormType::layernorm;
  double eps = 1e-5;
};
struct BiasConfig {
  bool qkv = true;         ///< on queries, keys and values
  bool projection = true;  ///< on the attention's output projection
  bool mlp = true;         ///< on every matrix of the feed-forward part
};
/// Probabilities of zeroing an element, 0 = off.
struct DropoutConfig {
  double embedding = 0;  ///< on the sum of token and position embedding
  double attention = 0;  ///< on the attention probabilities, after the softmax
  double residual = 0;  ///< on the output of attention and of the feed-forward part, before the add
};
struct InitConfig {
  double std = 0.02;  ///< every matrix and embedding ~ N(0, std); biases 0, norm weights 1
  bool residual_scaled = true;  ///< the two matrices that write into the residual stream take
                                ///< std / sqrt(2 layers) (GPT-2)
};

struct ModelConfig {
  Family family = Family::gpt;
  std::string preset;           ///< the preset that filled absent dims, empty for none
  std::int64_t layers = 0;      ///< transformer blocks
  std::int64_t hidden = 0;      ///< width of the residual stream
  std::int64_t heads = 0;       ///< query heads
  std::int64_t kv_heads = 0;    ///< key/value heads; divides heads
  std::int64_t head_dim = 0;    ///< hidden / heads unless the deck says otherwise
  std::int64_t ffn_hidden = 0;  ///< inner width of the feed-forward part
  std::int64_t vocabulary = 0;  ///< rows of the token embedding, before padding per tensor rank
  std::int64_t context = 0;     ///< sequence length of training, tokens
  NormConfig norm;
  Activation activation = Activation::gelu_tanh;
  Positions positions = Positions::learned;
  double rotary_theta = 10000;
  bool qk_norm = false;  ///< RMS norm over head_dim of queries and keys, before the rotation
  BiasConfig bias;
  bool tied_embeddings = true;  ///< the head's matrix is the token embedding
  DropoutConfig dropout;
  InitConfig init;
  /// By position of the block (embedding, layers, head): its parameters stay as they are. Empty:
  /// all are trained.
  std::vector<bool> frozen;

  bool is_frozen(std::int64_t block) const {
    return !frozen.empty() && frozen[static_cast<std::size_t>(block)];
  }
};

/// Parameters of the whole model; tied embeddings count once, padding never.
std::int64_t parameter_count(const ModelConfig& model);
/// Parameters of the learned position table, 0 with rotary positions.
std::int64_t position_parameter_count(const ModelConfig& model);
/// Parameters of one transformer block.
std::int64_t layer_parameter_count(const ModelConfig& model);

/// Floating-point operations of forward and backward a token, recomputation not counted:
/// 6 N + 12 layers d context with N the parameters without position embeddings and
/// d = heads * head_dim (Chowdhery et al. 2022, appendix B, which halves nothing for causality).
/// Of frozen blocks the 2 N of weight gradients are not counted, and where no block before them is
/// trained, nothing of their backward.
double flops_per_token(const ModelConfig& model);

/// Names of all presets ("gpt2-124m", "llama-7b", ...), in the order of their size by family.
std::vector<std::string_view> preset_names();

}  // namespace trireme::deck
