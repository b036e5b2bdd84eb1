#include "lib/deck/frozen_blocks.hpp"

#include <algorithm>
#include <charconv>

namespace trireme::deck {
namespace {

/// A whole text of digits.
std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || value < 0) return std::nullopt;
  return value;
}

}  // namespace

std::optional<Range> blocks_named(std::string_view name, std::int64_t layers) {
  if (name == "embedding") return Range{0, 1};
  if (name == "head") return Range{layers + 1, layers + 2};
  constexpr std::string_view kLayers = "layers.";
  if (!name.starts_with(kLayers)) return std::nullopt;
  name.remove_prefix(kLayers.size());
  const auto dash = name.find('-');
  const auto first = number(name.substr(0, dash));
  const auto last = dash == name.npos ? first : number(name.substr(dash + 1));
  if (!first || !last || *first > *last || *last >= layers) return std::nullopt;
  return Range{*first + 1, *last + 2};
}

std::vector<bool> blocks_in(const List& names, std::int64_t layers) {
  std::vector<bool> meant(static_cast<std::size_t>(layers) + 2);
  for (const Value& name : names)
    if (const auto blocks = blocks_named(*name.text(), layers))
      std::fill(meant.begin() + blocks->begin, meant.begin() + blocks->end, true);
  return meant;
}

}  // namespace trireme::deck
