#include "lib/deck/model_config.hpp"

namespace trireme::deck {

namespace {

std::int64_t norm_parameters(const ModelConfig& model, std::int64_t width) {
  return model.norm.type == NormType::layernorm ? 2 * width : width;
}

}  // namespace

std::int64_t layer_parameter_count(const ModelConfig& model) {
  const std::int64_t d = model.hidden;
  const std::int64_t q = model.heads * model.head_dim;
  const std::int64_t kv = model.kv_heads * model.head_dim;
  const std::int64_t f = model.ffn_hidden;
  const std::int64_t into_ffn = model.activation == Activation::swiglu ? 2 : 1;
  std::int64_t count = d * (q + 2 * kv) + q * d + (into_ffn + 1) * d * f;
  if (model.bias.qkv) count += q + 2 * kv;
  if (model.bias.projection) count += d;
  if (model.bias.mlp) count += into_ffn * f + d;
  if (model.qk_norm) count += 2 * model.head_dim;
  return count + 2 * norm_parameters(model, d);
}

std::int64_t position_parameter_count(const ModelConfig& model) {
  return model.positions == Positions::learned ? model.context * model.hidden : 0;
}

std::int64_t parameter_count(const ModelConfig& model) {
  const std::int64_t table = model.vocabulary * model.hidden;
  return (model.tied_embeddings ? 1 : 2) * table + position_parameter_count(model) +
         model.layers * layer_parameter_count(model) + norm_parameters(model, model.hidden);
}

double flops_per_token(const ModelConfig& model) {
  const auto n = static_cast<double>(parameter_count(model) - position_parameter_count(model));
  const auto width = static_cast<double>(model.heads * model.head_dim);
  return 6 * n +
         12 * static_cast<double>(model.layers) * width * static_cast<double>(model.context);
}

}  // namespace trireme::deck
