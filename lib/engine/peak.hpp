#pragma once
// The GEMM peak that model flop utilisation is a share of.

#include "kernels/base/runtime.hpp"
#include "lib/comm/world.hpp"
#include "lib/deck/deck.hpp"

#include <string>

namespace trireme::engine {

struct PeakFlops {
  double flops = 0;    ///< of all ranks together, flop/s
  std::string source;  ///< where it comes from, for the report
};

/// The deck's number, or the cached one of this kind of machine unless a short look at it finds
/// more, or a measurement by all ranks at once. Collective.
PeakFlops peak_flops(const comm::World& world, const deck::Deck& deck, const Runtime& runtime);

}  // namespace trireme::engine
