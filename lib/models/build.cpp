#include "lib/models/build.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/fp8/fp8.hpp"
#include "lib/nn/blocks.hpp"
#include "lib/nn/frozen.hpp"
#include "lib/nn/pieces.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>

namespace trireme::models {
namespace {

std::optional<kernels::Activation> kernel_of(deck::Activation activation) {
  switch (activation) {
    case deck::Activation::gelu: return kernels::Activation::gelu_erf;
    case deck::Activation::gelu_tanh: return kernels::Activation::gelu_tanh;
    case deck::Activation::silu: return kernels::Activation::silu;
    case deck::Activation::swiglu: break;
  }
  return std::nullopt;
}

nn::LayerConfig layer_config(const deck::ModelConfig& model) {
  nn::LayerConfig layer;
  layer.hidden = model.hidden;
  layer.heads = model.heads;
  layer.kv_heads = model.kv_heads;
  layer.head_dim = model.head_dim;
  layer.ffn_hidden = model.ffn_hidden;
  layer.vocabulary = model.vocabulary;
  layer.context = model.context;
  layer.norm = model.norm.type == deck::NormType::rmsnorm ? kernels::NormKind::rms
                                                          : kernels::NormKind::layer;
  layer.norm_epsilon = static_cast<float>(model.norm.eps);
  layer.activation = kernel_of(model.activation);
  layer.learned_positions = model.positions == deck::Positions::learned;
  if (!layer.learned_positions)
    layer.rotary =
        std::make_shared<kernels::RotaryTable>(model.context, model.head_dim, model.rotary_theta);
  layer.qk_norm = model.qk_norm;
  layer.bias_qkv = model.bias.qkv;
  layer.bias_projection = model.bias.projection;
  layer.bias_mlp = model.bias.mlp;
  layer.tied_embeddings = model.tied_embeddings;
  layer.dropout = {static_cast<float>(model.dropout.embedding),
                   static_cast<float>(model.dropout.attention),
                   static_cast<float>(model.dropout.residual)};
  layer.init_std = model.init.std;
  layer.residual_init_std =
      model.init.residual_scaled
          ? model.init.std / std::sqrt(2.0 * static_cast<double>(model.layers))
          : model.init.std;
  return layer;
}

/// Largest tensor size up to `tensor` that divides all of them.
std::int64_t nearest_tensor(const deck::ModelConfig& m, std::int64_t tensor) {
  while (m.heads % tensor != 0 || m.kv_heads % tensor != 0 || m.ffn_hidden % tensor != 0) --tensor;
  return tensor;
}

/// Widths of the linear layers on one rank are those of fp8 products.
void check_fp8(const deck::ModelConfig& m, std::int64_t tensor) {
  const std::int64_t kv = m.kv_heads * m.head_dim / tensor;
  for (const auto& [name, size] :
       {std::pair{"model.hidden", m.hidden},
        {"model.heads x model.head_dim / parallel.tensor", m.heads * m.head_dim / tensor},
        {"what q, k and v have together on a rank", m.heads * m.head_dim / tensor + 2 * kv},
        {"model.ffn_hidden / parallel.tensor", m.ffn_hidden / tensor}})
    check(size % kernels::kFp8Alignment == 0, Exit::kUsage,
          "fp8.enabled needs widths that are multiples of {}, and {} is {}; nearest: {}, or "
          "fp8.enabled false",
          kernels::kFp8Alignment, name, size, round_up(size, kernels::kFp8Alignment));
}

void check_divides(const deck::ModelConfig& m, const nn::Placement& placement) {
  const std::int64_t tensor = placement.tensor;
  for (const auto& [name, size] :
       {std::pair{"heads", m.heads}, {"kv_heads", m.kv_heads}, {"ffn_hidden", m.ffn_hidden}})
    check(size % tensor == 0, Exit::kUsage,
          "model.{} ({}) does not divide by parallel.tensor ({}); nearest: parallel.tensor = {}",
          name, size, tensor, nearest_tensor(m, tensor));
  nn::check_sequence_parallel(placement);
  if (placement.products.fp8) check_fp8(m, tensor);
}

class Assembly {
 public:
  Assembly(const deck::ModelConfig& config, const nn::Placement& placement)
      : config_(config), whole_left_(placement.sharding.whole_in_total) {
    model_.placement = placement;
  }

  void add(std::string name, std::shared_ptr<const nn::BlockPlan> plan) {
    Block block;
    block.name = std::move(name);
    block.layer = static_cast<int>(model_.blocks.size());
    const bool frozen = config_.is_frozen(block.layer);
    for (std::size_t position = 0; position < plan->units.size(); ++position) {
      constexpr std::size_t kTied = 1;
      if (plan->units[position].empty()) {
        block.units.push_back(kNoUnit);
        continue;
      }
      if (position == kTied && tied_ >= 0) {
        block.units.push_back(tied_);
        continue;
      }
      block.units.push_back(static_cast<int>(model_.units.size()));
      model_.units.push_back(nn::make_unit(block.name, plan->units[position],
                                           model_.placement.tensor, model_.placement.sharding,
                                           whole_left_));
      model_.units.back().frozen = frozen;
      model_.parameters += model_.units.back().logical_elements();
      if (!frozen) model_.trained_parameters += model_.units.back().logical_elements();
      if (position != kTied) continue;
      tied_ = block.units.back();
      model_.units.back().tied = true;
    }
    block.plan = config_.frozen.empty() ? std::move(plan) : reduced(std::move(plan), frozen);
    trained_before_ |= !frozen;
    model_.blocks.push_back(std::move(block));
  }

  Model finish() { return std::move(model_); }
  Model& model() { return model_; }

 private:
  using Plan = std::shared_ptr<const nn::BlockPlan>;

  /// The plan with what is left of its backward; one for all blocks of which the same is left.
  Plan reduced(Plan plan, bool frozen) {
    const nn::Training training{std::vector<bool>(plan->units.size(), frozen), trained_before_};
    if (!frozen && trained_before_) return plan;
    Plan& known = reduced_[{plan, training}];
    if (!known) known = nn::plan_for(*plan, training, model_.placement.tensor);
    return known;
  }

  const deck::ModelConfig& config_;
  Model model_;
  bool trained_before_ = false;
  std::map<std::pair<Plan, nn::Training>, Plan> reduced_;
  std::int64_t whole_left_;  // elements of small tensors that may still stay whole
  int tied_ = -1;
};

}  // namespace

Model build_language_model(const deck::ModelConfig& config, const nn::Placement& placement) {
  nn::Placement used = placement;
  used.sequence_parallel = placement.sequence_parallel && placement.tensor > 1;
  check_divides(config, used);
  const nn::LayerConfig layer = layer_config(config);
  Assembly assembly(config, used);
  assembly.model().hidden = config.hidden;
  assembly.model().position_parameters = deck::position_parameter_count(config);
  assembly.add("embedding", nn::embedding_block(layer, used));
  const auto transformer = nn::transformer_block(layer, used);
  for (std::int64_t i = 0; i < config.layers; ++i)
    assembly.add(fmt::format("layers.{}", i), transformer);
  assembly.add("head", nn::head_block(layer, used));
  return assembly.finish();
}

}  // namespace trireme::models
