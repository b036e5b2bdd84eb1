#pragma once
// From a deck to what the model, the grid and the passes are made with.

#include "lib/comm/grid.hpp"
#include "lib/deck/deck.hpp"
#include "lib/nn/plan.hpp"
#include "lib/program/compile.hpp"

namespace trireme::engine {

nn::Placement placement_of(const deck::Deck& deck);
program::Options options_of(const deck::Deck& deck);
comm::ProcessGrid grid_of(const deck::Deck& deck);

}  // namespace trireme::engine
