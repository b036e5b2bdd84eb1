#pragma once
// A sweep deck: one base deck, and what is varied in it. JSON with comments; inputs/README.md lists
// the keys.

#include "lib/deck/deck.hpp"
#include "lib/plan/sweep/condition.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace trireme::plan {

/// One key of decks and the values it takes.
struct SweepAxis {
  std::string key;  ///< dotted, as the table of decks spells it
  std::vector<deck::Value> values;
};

/// Axes that move together: they have the same number of values. A plain axis is alone in its
/// group, a zipped or random one is not.
struct SweepGroup {
  std::vector<SweepAxis> axes;
  bool random = false;  ///< the same values may have been drawn twice
  std::size_t size() const { return axes.front().values.size(); }
};

/// What makes a point good: a number of report.json.
struct Objective {
  std::string field = "loss.last";
  bool minimize = true;
};

struct SweepDeck {
  std::filesystem::path file;         ///< absolute
  std::filesystem::path base;         ///< the base deck; absolute
  std::vector<std::string> settings;  ///< "a.b=c", the same for all points
  std::vector<SweepGroup> groups;     ///< points are all combinations of these
  std::vector<Condition> constraints;
  Objective objective;
  bool list_bad_points = false;  ///< points whose deck does not check are listed; else an error
  std::int64_t at_once = 0;      ///< points that may run beside each other; 0: no limit

  std::vector<std::string> keys() const;  ///< of all axes, in order
};

/// Whether a deck is a sweep deck: an object with a "deck" and something to vary. Text that is no
/// JSON is none.
bool is_sweep(const deck::Source& source);

/// Reads and checks; exact at both ends of a log range, everything between is rounded to six
/// digits. Exit::kUsage: one error with all mistakes, each with its line.
SweepDeck read_sweep(const deck::Source& source);

}  // namespace trireme::plan
