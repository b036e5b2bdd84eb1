#pragma once
// JSON with // and /* */ comments into Values with lines.

#include "lib/deck/mistakes.hpp"
#include "lib/deck/value.hpp"

#include <optional>
#include <string_view>

namespace trireme::deck {

/// Parses a whole deck. Text that is no JSON, or not one object, is one mistake and nothing; each
/// duplicate key is a mistake that names both lines (the first one counts).
std::optional<Object> parse_deck(std::string_view text, Mistakes& mistakes);

/// Parses one JSON value (a default of the table, the right side of --set); nothing when the text
/// is no JSON.
std::optional<Value> parse_value(std::string_view text);

}  // namespace trireme::deck
