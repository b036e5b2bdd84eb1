#pragma once
// Decks for the grid law: every pair of values of every two axes, and seeded random ones.

#include "lib/deck/deck.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace trireme::validation {

struct GridCase {
  std::string name;
  deck::Deck deck;
};

/// A set of cases on `ranks` ranks in which every two values of different axes (grid, schedule and
/// virtual stages, recompute, sequence parallelism, micro-batches, model, dtype, optimizer,
/// dropout, documents) that can stand in one deck do so once at least. Found greedily; the same
/// every time.
std::vector<GridCase> all_pairs(int ranks);

/// `count` decks drawn from all valid ones.
std::vector<GridCase> random_cases(int ranks, int count, std::uint32_t seed);

}  // namespace trireme::validation
