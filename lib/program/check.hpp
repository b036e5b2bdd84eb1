#pragma once
// Checks of the programs of the whole grid before they run. They look at the lists as ranks will
// run them and trust no pass.

#include "lib/program/compile.hpp"

#include <string>
#include <vector>

namespace trireme::program {

/// All defects found, each as "stage S, instruction I (what): expected ..., found ...". Empty: the
/// programs are sound. Rules:
///   - a buffer is written before it is read, unless it is resident; buffers alive at once share no
///   byte
///   - waits point backwards and cover every dependency that reads, writes and reuse of bytes give
///   - a copy of activations between tiers is of one block and micro-batch
///   - every send has one receive of as many bytes, every collective that spans stages all its
///   members, channels
///     and groups see their operations in one order
///   - tensor and data collectives depend on no condition that their members might see differently
///   - all of them go over links, or none
///   - abstract execution with rendezvous completes; what goes over links blocks what goes there
///     behind it (DESIGN section 7, rule 1: an NCCL stream is a lane that blocks)
std::vector<std::string> defects(const Compiled& compiled);

/// Throws Error(kUnexpected) with the first defects, if there are any.
void check_programs(const Compiled& compiled);

}  // namespace trireme::program
