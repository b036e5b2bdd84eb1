#pragma once
// Known models: the dims a preset fills in.

#include "lib/deck/model_config.hpp"

#include <string_view>
#include <vector>

namespace trireme::deck {

struct Preset {
  std::string_view name;
  Family family;
  std::int64_t layers;
  std::int64_t hidden;
  std::int64_t heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  std::int64_t ffn_hidden;
  std::int64_t vocabulary;
  std::int64_t context;
  bool tied_embeddings;
  double rotary_theta;
};
const std::vector<Preset>& presets();
/// Null when unknown.
const Preset* find_preset(std::string_view name);

}  // namespace trireme::deck
