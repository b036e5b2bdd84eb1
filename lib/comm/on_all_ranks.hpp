#pragma once
// Work that may fail on one rank and must then fail on all, so that nobody waits for the one that
// left.

#include "lib/comm/world.hpp"

#include <functional>
#include <source_location>
#include <string>

namespace trireme::comm {

/// Runs `work`, which must not communicate, on every rank. When it throws an Error on any of them,
/// all throw the error of the lowest one. Collective, and watched as World::watch() says: it names
/// `where`.
void on_all_ranks(const World& world, const std::function<void()>& work,
                  std::source_location where = std::source_location::current());

/// Rank 0's text on all ranks; collective, and watched.
std::string broadcast_text(const World& world, std::string text,
                           std::source_location where = std::source_location::current());

}  // namespace trireme::comm
