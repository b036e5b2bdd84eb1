#pragma once
// Abstract execution of the programs of a grid: lanes, waits and rendezvous as the executor has
// them, with durations instead of work. The same walk finds deadlocks and predicts time.

#include "lib/program/compile.hpp"

#include <string>
#include <vector>

namespace trireme::program {

/// Rates that turn an instruction into seconds. The defaults make every duration a relative one.
struct Rates {
  double flops_per_second = 1e11;
  double memory_bytes_per_second = 2e10;
  double link_bytes_per_second = 5e9;
  double link_latency = 5e-6;
  double storage_bytes_per_second = 1e9;  ///< token files and the NVMe tier
  double host_bytes_per_second = 1e10;    ///< between device and host tier
};

/// Slowest tier that an instruction of the storage lane touches; token files count as NVMe.
Tier tier_of(const Compiled& compiled, const Instruction& instruction);

/// Seconds of an instruction that neither waits nor shares its rate.
double seconds_of(const Compiled& compiled, const Instruction& instruction, const Rates& rates);

struct Simulation {
  /// Empty when every instruction completed; otherwise which instruction of which stage waits for
  /// what.
  std::string stuck;
  double seconds = 0;                      ///< end of the last instruction of any stage
  std::vector<std::vector<double>> start;  ///< by stage and instruction
  std::vector<std::vector<double>> end;
  /// Share of stages x seconds in which compute lanes are idle, from the first to the last segment
  /// of the grid.
  double bubble = 0;
};

/// Sends and receives, and collectives that span stages, complete only when every participant has
/// started, and over links one starts only once the one before it is complete; the k-th operation
/// of a channel or group meets the k-th of its peer. Group sizes: tensor and data ranks of one
/// stage are alike and always arrive together. Transfers of the storage lane start in order and
/// share the rate of their tier: each is done when it would be if they ran one after another.
Simulation simulate(const Compiled& compiled, const Rates& rates = {});

}  // namespace trireme::program
