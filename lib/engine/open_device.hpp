#pragma once
// The GPU of a rank, and how it reaches those of other ranks.

#include "lib/comm/world.hpp"
#include "lib/deck/deck.hpp"

namespace trireme::engine {

/// Collective. Where the deck's run.device is "cuda" this rank takes the device with its place on
/// the node modulo the devices there, of the back end that the program was linked with; else
/// nothing happens. Returns the deck with parallel.transport settled for these ranks, and a warning
/// where "auto" means the hosts.
/// On all ranks: Exit::kUsage where a rank has no back end, driver or device, or where transport
/// "nccl" is impossible: ranks share a device, NCCL is missing or too old. Also where the deck asks
/// for fp8 products that the device lacks.
deck::Deck open_device(const comm::World& world, const deck::Deck& deck);

}  // namespace trireme::engine
