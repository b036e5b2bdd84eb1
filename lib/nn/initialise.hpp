#pragma once
// First values of a unit's parameters.

#include "lib/nn/parameter.hpp"

#include <cstdint>
#include <span>

namespace trireme::nn {

/// Fills elements `flat` of this rank's masters, values[flat.size()], from (seed, logical name,
/// logical element): the same model on every grid and however it is divided. Padding, also of the
/// vocabulary, is zero.
void initialise(const Unit& unit, std::int64_t tensor, std::int64_t tensor_rank, std::uint64_t seed,
                Range flat, std::span<float> values);
/// All of the unit.
void initialise(const Unit& unit, std::int64_t tensor, std::int64_t tensor_rank, std::uint64_t seed,
                std::span<float> masters);

/// Number of the random stream of a tensor: a hash of its logical name.
std::uint64_t stream_of(std::string_view logical_name);

}  // namespace trireme::nn
