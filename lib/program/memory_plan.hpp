#pragma once
// Offsets of all buffers in each stage's arena, and the waits that follow from reads, writes and
// reuse.

#include "lib/program/instruction.hpp"
#include "lib/program/residence.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace trireme::program {

struct MemoryPlan {
  /// By stage and tier: resident region and transient region behind it.
  std::vector<std::array<std::int64_t, kTiers>> bytes;
  std::int64_t at(std::int32_t stage, Tier tier) const {
    return bytes[static_cast<std::size_t>(stage)][static_cast<std::size_t>(tier)];
  }
  /// By buffer: earlier buffers whose bytes it takes over. Its first writer waits for all their
  /// last users, because list-order lifetimes are not run-time lifetimes (DESIGN section 7, rule
  /// 4).
  std::vector<std::vector<BufferId>> predecessors;
  /// By buffer: it holds no elements of a unit, so that any two touches of it meet.
  std::vector<bool> undivided;
};

/// Alignment of every buffer, bytes; of those that storage reads and writes kStorageAlignment.
inline constexpr std::int64_t kBufferAlignment = 256;

/// What a buffer of `bytes` takes: large ones an odd number of pages, so that the buffers that an
/// update walks side by side do not all start at the same place of a memory bank, which made AdamW
/// seven times slower where their sizes are powers of two (perf/README.md).
std::int64_t room_for(std::int64_t bytes, std::int64_t alignment);

/// Places each buffer of Lifetime::step behind the resident region of its stage and tier
/// (`resident_bytes`) and writes its offset into grid.buffers. Best fit in list order.
MemoryPlan plan_memory(GridProgram& grid,
                       const std::vector<std::array<std::int64_t, kTiers>>& resident_bytes);

/// The one function that makes waits, from reads and writes and the plan's reuse. Waits point
/// backwards in the list; an instruction of the compute lane needs none on that lane, which runs in
/// order. Two instructions on disjoint elements of one part of a unit do not wait for each other.
void derive_waits(StageProgram& program, const MemoryPlan& plan);

/// What derive_waits() would give for each instruction, without writing it.
std::vector<std::vector<std::int32_t>> waits_of(const StageProgram& program,
                                                const MemoryPlan& plan);

}  // namespace trireme::program
