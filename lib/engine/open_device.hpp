#pragma once
// The GPU of a rank.

#include "lib/comm/world.hpp"
#include "lib/deck/deck.hpp"

namespace trireme::engine {

/// Collective. Where the deck's run.device is "cuda" this rank takes the device with its place on
/// the node modulo the devices there, of the back end that the program was linked with; else
/// nothing happens. On all ranks: Exit::kUsage where a rank has no back end, driver or device.
/// Also where the deck asks for fp8 products that the device lacks.
void open_device(const comm::World& world, const deck::Deck& deck);

}  // namespace trireme::engine
