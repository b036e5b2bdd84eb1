#pragma once
// The high-water mark of a program's transient region: which buffers are in use while instructions
// run, counted by the lanes as they start and complete them, never taken from the plan.

#include "lib/program/compile.hpp"

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

namespace trireme::engine {

/// Largest use of a tier over all runs so far.
struct HighWater {
  /// Bytes by program::Purpose that were in use when `total` was largest.
  std::array<std::int64_t, program::kPurposes> bytes{};
  std::int64_t total = 0;
  /// First byte of the tier behind all buffers that ran, resident ones too, in the units the plan
  /// deals out (kBufferAlignment).
  std::int64_t end = 0;
};

/// A buffer is in use from the start of the first instruction that touches it to the completion of
/// the last. The lanes call start() and finish(), each at once with others; nothing allocates.
class LiveMemory {
 public:
  LiveMemory(const program::Compiled& compiled, std::int32_t stage);

  /// A new run: nothing is in use.
  void begin();
  /// Right before an instruction touches its buffers.
  void start(std::size_t instruction);
  /// Once it is complete, before other lanes may know. An instruction whose condition is false
  /// finishes without a start.
  void finish(std::size_t instruction);

  /// Between runs.
  const HighWater& most(program::Tier tier) const { return tiers_[index(tier)].most; }

 private:
  struct Piece {
    std::int64_t bytes = 0;
    std::size_t purpose = 0;
    program::Tier tier = program::Tier::device;
    std::int32_t users = 0;  // instructions of a run
    std::int32_t left = 0;   // that did not complete yet
    bool in_use = false;
  };
  struct Touched {
    std::vector<std::int32_t> pieces;                 // transient buffers, each once
    std::array<std::int64_t, program::kTiers> end{};  // of the buffer that reaches furthest
  };

  std::vector<Touched> touched_;  // by instruction
  std::vector<Piece> pieces_;
  std::mutex mutex_;
  struct TierUse {
    std::array<std::int64_t, program::kPurposes> now{};
    std::int64_t total = 0;
    HighWater most;
  };
  static std::size_t index(program::Tier tier) { return static_cast<std::size_t>(tier); }
  std::array<TierUse, program::kTiers> tiers_;
};

}  // namespace trireme::engine
