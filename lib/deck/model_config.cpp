#include "lib/deck/model_config.hpp"

namespace trireme::deck {

namespace {

std::int64_t norm_parameters(const ModelConfig& model, std::int64_t width) {
  return model.norm.type == NormType::layernorm ? 2 * width : width;
}

/// What a block has of the 6 N: tied tables count with the head.
std::int64_t block_product_parameters(const ModelConfig& model, std::int64_t block) {
  const std::int64_t table = model.vocabulary * model.hidden;
  if (block == 0) return model.tied_embeddings ? 0 : table;
  if (block <= model.layers) return layer_parameter_count(model);
  return table + norm_parameters(model, model.hidden);
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
  double flops =
      6 * n + 12 * static_cast<double>(model.layers) * width * static_cast<double>(model.context);
  if (model.frozen.empty()) return flops;
  const double attention = 8 * width * static_cast<double>(model.context);  // a layer's backward
  bool trained_before = false;
  for (std::int64_t block = 0; block < model.layers + 2; ++block) {
    trained_before |= !model.is_frozen(block);
    const auto own = static_cast<double>(block_product_parameters(model, block));
    if (model.is_frozen(block)) flops -= (trained_before ? 2 : 4) * own;
    if (!trained_before && block > 0) flops -= attention;
  }
  return flops;
}

}  // namespace trireme::deck
