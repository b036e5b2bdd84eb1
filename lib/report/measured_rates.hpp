#pragma once
// What the simulator needs to know about a machine, from the times of a step that ran on it.

#include "lib/engine/executor.hpp"
#include "lib/program/simulate.hpp"

#include <vector>

namespace trireme::report {

/// What ranks add up (sums) and compare (the link) before rates are made of it. Plain doubles, so
/// that MPI can.
struct RateSamples {
  // Sums over instructions: flops and seconds of segments with products, bytes and seconds of other
  // work of the compute lane, bytes of each tier of the storage lane and seconds with any of them
  // under way.
  double flops = 0;
  double flop_seconds = 0;
  double bytes = 0;
  double byte_seconds = 0;
  double loaded_bytes = 0;
  double load_seconds = 0;
  double hosted_bytes = 0;
  double host_seconds = 0;
  /// Of the operation with most bytes a second, waiting included: the others waited more.
  double link_bytes_per_second = 0;
  /// Of the shortest operation; 0: there was none.
  double link_seconds = 0;

  void add(const RateSamples& other);
};

/// Of one rank's last run of `compiled`.
RateSamples rate_samples(const program::Compiled& compiled,
                         const std::vector<program::Instruction>& list,
                         const std::vector<engine::Interval>& intervals);

/// What was not seen keeps the rate of `otherwise`.
program::Rates measured_rates(const RateSamples& samples, const program::Rates& otherwise);

}  // namespace trireme::report
