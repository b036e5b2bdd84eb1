#pragma once
// How fast a machine says it is, as the simulator wants to know it: what --check --machine prints.

#include "lib/engine/setup.hpp"
#include "lib/plan/machine.hpp"

namespace trireme::plan {

/// What one rank of `setup`'s grid has of its node when ranks fill nodes one after another, and all
/// ranks of a node work at once: the node's rate divided by its ranks. Products: the peak of the
/// deck's compute type, of 16-bit types fp32's where the machine states no other. The host tier:
/// half of the memory's rate, since a copy reads and writes. NVMe: as many bytes read as written
/// (the harmonic mean of both rates). Links: the network's rate where the run takes several nodes;
/// on one node a third of the memory's, since each byte of a sum through shared memory is read,
/// added and written. What the machine does not state stays the default and is called that.
/// Throws Exit::kUsage where the machine has fewer nodes or ranks a node than the grid takes.
engine::CheckRates rates_on(const Machine& machine, const engine::Setup& setup);

}  // namespace trireme::plan
