#pragma once
// Which known word was probably meant.

#include <cstddef>
#include <string_view>
#include <vector>

namespace trireme::deck {

/// Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`, letters' case ignored:
/// the restricted Damerau-Levenshtein distance.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate fewest edits away, empty when none is within a third of the word (at least two
/// edits). The first of equals wins.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace trireme::deck
