#pragma once
// Small things that ranks agree on outside steps: rank 0's word.

#include "lib/comm/world.hpp"

#include <cstdint>
#include <string>

namespace trireme::engine {

/// Rank 0's number on all ranks; collective.
std::int64_t broadcast_number(const comm::World& world, std::int64_t number);
double sum_over_ranks(const comm::World& world, double value);

/// Throws Exit::kPeer, on all ranks, unless all gave the same value: ranks of one stage run one
/// program.
void check_agreement(const comm::World& world, int stage, std::uint64_t value,
                     const std::string& what);

}  // namespace trireme::engine
