#pragma once
// ZeRO stages, tiers and budgets for decks of the grid law.

#include "validation/parallel/cases.hpp"

namespace trireme::validation {

/// A deck and the same deck at stage 0 with all state on the device.
struct ZeroCase {
  std::string name;
  deck::Deck deck;
  deck::Deck plain;
  /// Sums run in the same order in both, so that losses, gradients and masters have the same bits.
  bool same_bits = false;
};

/// Cases in which every two values of different axes (stage, tier of the optimizer and of the
/// parameters, partition, sums by step or micro-batch, gathers likewise, updates by step or unit,
/// bucket sizes, overlap, form of sums and of gathers, pipelined reads, ratio, budgets, groups,
/// where activations wait, which blocks are frozen) stand together at least once, each on a deck
/// drawn from those of the grid law. The same every time.
std::vector<ZeroCase> zero_pairs(int ranks);
/// `count` drawn from all.
std::vector<ZeroCase> zero_random(int ranks, int count, std::uint32_t seed);

}  // namespace trireme::validation
