#pragma once
// One value against the type of its row.

#include "lib/deck/table.hpp"
#include "lib/deck/value.hpp"

#include <optional>
#include <string>

namespace trireme::deck {

/// What is wrong with `value` for `type`, nothing when it fits. Fitting values are put in their
/// canonical form: 5e8 where an integer is wanted becomes 500000000, "adamw" becomes "AdamW".
std::optional<std::string> misfit(const Type& type, Value& value);

}  // namespace trireme::deck
