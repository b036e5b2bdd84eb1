#pragma once
// Sections of the typed deck that are built in files of their own.

#include "lib/deck/draft.hpp"

namespace trireme::deck {

ZeroConfig build_zero(const Draft& draft);  // build_zero.cpp
/// Tier and partition only where they have an influence: with recomputation, over tensor ranks.
RecomputeConfig build_recompute(const Draft& draft);  // build_zero.cpp

}  // namespace trireme::deck
