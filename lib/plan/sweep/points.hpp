#pragma once
// From a sweep deck to its points: one deck each.

#include "lib/plan/sweep/sweep_deck.hpp"

#include <functional>

namespace trireme::plan {

/// Of a name, at its end.
inline constexpr std::size_t kHashDigits = 8;

struct SweepPoint {
  /// The axes' values in short and eight digits of the hash of its deck: the same deck has the same
  /// name in any sweep. Letters, digits and "._+-" only.
  std::string name;
  std::vector<deck::Value> values;    ///< one an axis
  std::vector<std::string> settings;  ///< what --set takes to make its deck of the base deck
  std::string deck;                   ///< JSON that stands alone: what is given, paths absolute
  std::string refused;                ///< why its deck does not check; empty: it does
};

struct SweepPoints {
  std::vector<SweepPoint> points;  ///< the first axis slowest, random ones fastest
  std::size_t left_out = 0;        ///< by constraints
  std::size_t twice = 0;           ///< drawn again, and kept once
};

/// `overrides` ("a.b=c") hold for all points and come after the sweep's own settings; they may not
/// name an axis. Constraints see what is given and the defaults of what is not, before anything is
/// derived. Exit::kUsage: a constraint that can't be evaluated, or no point is left.
SweepPoints expand(const SweepDeck& sweep, const deck::Source& base,
                   const std::vector<std::string>& overrides);

/// Calls check(settings) for every point; what it throws with Exit::kUsage is why the point is
/// refused. Exit::kUsage with all reasons where points are refused and the sweep does not list
/// them, or where none is left.
void check_points(SweepPoints& points, const SweepDeck& sweep,
                  const std::function<void(const std::vector<std::string>&)>& check);

}  // namespace trireme::plan
