#pragma once
// What a run's tiers may hold, against what its programs need; and the nearest deck that fits.

#include "lib/deck/deck.hpp"
#include "lib/program/compile.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace trireme::engine {

class Setup;

/// Bytes a rank's tiers may hold (run.device_memory, run.host_memory); 0 = no limit.
using Limits = std::array<std::int64_t, program::kTiers>;
Limits limits_of(const deck::RunConfig& run);

/// A tier of a stage that needs more than it may hold.
struct Excess {
  std::int32_t stage = 0;
  program::Tier tier = program::Tier::device;
  std::int64_t planned = 0;  ///< of the program that needs most
  std::int64_t limit = 0;
  const program::Compiled* program = nullptr;  ///< that one; lives as long as the caller's
};
/// By stage, then tier.
std::vector<Excess> excesses(const Limits& limits,
                             const std::vector<const program::Compiled*>& programs);

/// A deck that holds to its limits, as changes to another one.
struct Fit {
  std::vector<std::string> changes;  ///< what --set takes: "zero_optimization.stage=2"
  std::int64_t changed = 0;          ///< kinds of change in them; a kind may set two keys
  std::vector<std::array<std::int64_t, program::kTiers>> bytes;  ///< by stage
};

/// Of recomputation (with what it keeps whole, divided over tensor ranks or on another tier),
/// smaller micro-batches with more of them, a higher ZeRO stage, and optimizer state and parameters
/// on other tiers: the fewest changes that fit, of those the cheapest by a
/// fixed order (what costs least time first). The global batch and with it the training stay as
/// they are. None of the decks tried fits: nullopt. A pure function of the deck, found by
/// compiling; it is read back from `resolved_json`, and without that there is none.
std::optional<Fit> nearest_fit(const deck::Deck& deck);

/// Throws Exit::kUsage where a stage needs more than the deck's limits: a table of stage, tier,
/// bytes by purpose and limit, and the nearest deck that fits.
void check_fits(const Setup& setup);

}  // namespace trireme::engine
