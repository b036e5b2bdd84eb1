#pragma once
// Names of blocks in a deck: "embedding", "layers.3", "layers.0-11", "head".

#include "kernels/base/checked.hpp"
#include "lib/deck/value.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace trireme::deck {

/// Blocks of a model of `layers` transformer blocks by position: the embedding is 0, layers.i is
/// i + 1, the head layers + 1. Nothing for a name that means none of them.
std::optional<Range> blocks_named(std::string_view name, std::int64_t layers);

/// Which blocks a list of such names means, by position; names of no block mean none.
std::vector<bool> blocks_in(const List& names, std::int64_t layers);

}  // namespace trireme::deck
