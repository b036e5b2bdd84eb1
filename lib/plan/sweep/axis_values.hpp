#pragma once
// The values of one axis from how a sweep deck writes them.

#include "lib/deck/mistakes.hpp"
#include "lib/deck/table.hpp"

#include <optional>

namespace trireme::plan {

/// What is drawn: `count` values for the key, a pure function of seed, key and index, so that more
/// draws or another axis leave the first ones as they are.
struct Draws {
  std::int64_t count = 0;
  std::uint64_t seed = 0;
};

/// The values of `key` (a row of the table), from a list, or a range of numbers:
///   [a, b, c]
///   {"range": [low, high], "step": s}       low, low + s, ... up to high
///   {"range": [low, high], "count": n}      n values, evenly spaced, both ends among them
///   {"log_range": [low, high], "count": n}  the same, evenly spaced by logarithm
/// With `draws` the same forms without step and count are what is drawn from: one of the list,
/// uniform in the range, uniform by logarithm. Keys that take integers get integers.
/// Mistakes, each with its line, leave the list empty.
std::vector<deck::Value> axis_values(const deck::Row& row, const std::string& key,
                                     const deck::Value& given, const std::optional<Draws>& draws,
                                     deck::Mistakes& mistakes);

/// "unknown key ...; nearest known: ...", of a key that the table of decks does not have.
std::string unknown_key(std::string_view key);

/// The same of a member of an object that takes only the `known` ones.
std::string unknown_member(std::string_view key, std::string_view where,
                           const std::vector<std::string_view>& known);

/// The row of a key or of its alias, whose `key` becomes the table's spelling; null when unknown.
const deck::Row* row_of(std::string& key);

/// Whatever number it is.
std::optional<double> number_in(const deck::Value& value);

}  // namespace trireme::plan
