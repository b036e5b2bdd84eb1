#pragma once
// First values of a unit's parameters.

#include "lib/nn/parameter.hpp"

#include <cstdint>
#include <span>

namespace trireme::nn {

/// Fills this rank's masters [unit.elements] from (seed, logical name, logical element): the same
/// model on every grid. Padding, also of the vocabulary, is zero.
void initialise(const Unit& unit, std::int64_t tensor, std::int64_t tensor_rank, std::uint64_t seed,
                std::span<float> masters);

/// Number of the random stream of a tensor: a hash of its logical name.
std::uint64_t stream_of(std::string_view logical_name);

}  // namespace trireme::nn
