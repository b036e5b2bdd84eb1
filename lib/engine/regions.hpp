#pragma once
// Where a step's time goes, seen from the compute lane: each instruction's time by what it does,
// each gap by what the lane waited for. Regions of a step sum to its time.

#include "lib/engine/executor.hpp"

#include <array>
#include <string_view>

namespace trireme::engine {

enum class Region : std::uint8_t {
  forward_embedding,
  forward_layers,
  forward_head,
  recompute,
  backward_head,
  backward_layers,
  backward_embedding,
  accumulate,
  norm,
  update,
  wait_tokens,
  wait_storage,
  wait_weights,
  wait_tensor,
  wait_pipeline,
  wait_gradients,
  wait_agreement,
  start_and_end,
};
inline constexpr std::size_t kRegions = 18;
std::string_view name_of(Region region);

struct RegionTotals {
  std::array<double, kRegions> seconds{};
  std::array<std::int64_t, kRegions> calls{};
  std::int64_t steps = 0;
};

/// "time of a step so far: forward 1.2 ms, ..."
std::string text_of(const RegionTotals& totals);

/// Adds the executor's last run to totals. Allocates nothing.
class RegionMeter {
 public:
  RegionMeter(const models::Model& model, const std::vector<program::Instruction>& list);
  void add(const std::vector<Interval>& intervals, double step_seconds);
  const RegionTotals& totals() const { return totals_; }
  /// Forgets what was added: the first step of a process warms up and is left out of averages.
  void restart() { totals_ = {}; }

 private:
  Region waited_for(std::size_t instruction, const std::vector<Interval>& intervals) const;

  const std::vector<program::Instruction>& list_;
  std::vector<Region> work_;  // by instruction
  RegionTotals totals_;
};

}  // namespace trireme::engine
