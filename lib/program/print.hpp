#pragma once
// Programs for people.

#include "lib/program/compile.hpp"

#include <string>

namespace trireme::program {

/// "backward layers.2/attention m1", "send act m0 -> stage 1", "all-reduce gradients of layers.3
/// (data)".
std::string describe(const models::Model& model, const Compiled& compiled,
                     const Instruction& instruction);
/// The same without names of blocks: for messages about a program alone.
std::string describe(const Compiled& compiled, const Instruction& instruction);

/// One stage's list, a line an instruction: id, lane, what, bytes, waits.
std::string print_program(const models::Model& model, const Compiled& compiled, std::int32_t stage);

/// By stage: number of instructions by kind, bytes of each tier by purpose at the peak.
std::string print_summary(const Compiled& compiled);

/// Bytes of a tier by purpose: resident ones, and for the transient region the largest sum that is
/// alive at once while the stage's list is walked in order.
struct PurposeBytes {
  std::array<std::int64_t, kPurposes> bytes{};
  std::int64_t total = 0;  ///< of the tier, fragmentation included
};
PurposeBytes memory_by_purpose(const Compiled& compiled, std::int32_t stage,
                               Tier tier = Tier::device);

}  // namespace trireme::program
