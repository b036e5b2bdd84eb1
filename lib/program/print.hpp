#pragma once
// Programs for people.

#include "lib/program/compile.hpp"

#include <string>

namespace trireme::program {

/// "3.41 GiB".
std::string size_text(std::int64_t bytes);

/// "backward layers.2/attention m1", "send act m0 -> stage 1", "all-reduce gradients of layers.3
/// (data)".
std::string describe(const models::Model& model, const Compiled& compiled,
                     const Instruction& instruction);
/// The same without names of blocks: for messages about a program alone.
std::string describe(const Compiled& compiled, const Instruction& instruction);

/// One stage's list, a line an instruction: id, lane, what, bytes, waits.
std::string print_program(const models::Model& model, const Compiled& compiled, std::int32_t stage);

/// By stage: number of instructions by kind; of each tier the bytes by purpose at the peak, and
/// when that is.
std::string print_summary(const models::Model& model, const Compiled& compiled);

/// Bytes of a tier by purpose: resident ones, and for the transient region the largest sum that is
/// alive at once while the stage's list is walked in order.
struct PurposeBytes {
  std::array<std::int64_t, kPurposes> bytes{};
  std::int64_t total = 0;  ///< of the tier, fragmentation included
  /// First instruction of the stage's list at which that sum is reached; -1: the tier holds nothing
  /// transient, its bytes are the same throughout.
  std::int32_t peak = -1;
};
PurposeBytes memory_by_purpose(const Compiled& compiled, std::int32_t stage,
                               Tier tier = Tier::device);

}  // namespace trireme::program
