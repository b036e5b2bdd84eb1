#pragma once
// Small things that ranks agree on outside steps: rank 0's word. All are watched as World::watch()
// says and name the place of the call.

#include "lib/comm/world.hpp"

#include <cstdint>
#include <source_location>
#include <string>

namespace trireme::engine {

/// Rank 0's number on all ranks; collective.
std::int64_t broadcast_number(const comm::World& world, std::int64_t number,
                              std::source_location where = std::source_location::current());
double sum_over_ranks(const comm::World& world, double value,
                      std::source_location where = std::source_location::current());

/// Throws Exit::kPeer, on all ranks, unless all gave the same value: ranks of one stage run one
/// program.
void check_agreement(const comm::World& world, int stage, std::uint64_t value,
                     const std::string& what,
                     std::source_location where = std::source_location::current());

}  // namespace trireme::engine
