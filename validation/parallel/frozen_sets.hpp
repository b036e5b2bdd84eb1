#pragma once
// Which blocks of a tiny model are not trained.

#include "lib/deck/model_config.hpp"

#include <array>
#include <string>
#include <vector>

namespace trireme::validation {

enum class FrozenSet {
  first_layer,            ///< between trained blocks: gradients pass through it
  before_the_last_layer,  ///< backward ends in the middle of the model
  layers,                 ///< embedding and head are trained
};
inline constexpr std::array kFrozenSets{FrozenSet::first_layer, FrozenSet::before_the_last_layer,
                                        FrozenSet::layers};

inline std::string name_of(FrozenSet set) {
  switch (set) {
    case FrozenSet::first_layer: return "first layer";
    case FrozenSet::before_the_last_layer: return "all before the last layer";
    case FrozenSet::layers: return "layers";
  }
  return "";
}

/// By position of the block. A tied head goes with the embedding.
inline std::vector<bool> frozen_blocks(const deck::ModelConfig& model, FrozenSet set) {
  const auto layers = static_cast<std::size_t>(model.layers);
  std::vector<bool> frozen(layers + 2, false);
  for (std::size_t block = 1; block <= layers; ++block)
    frozen[block] = set == FrozenSet::layers || (set == FrozenSet::first_layer && block == 1) ||
                    (set == FrozenSet::before_the_last_layer && block < layers);
  if (set == FrozenSet::before_the_last_layer) {
    frozen.front() = true;
    frozen.back() = model.tied_embeddings;
  }
  return frozen;
}

}  // namespace trireme::validation
