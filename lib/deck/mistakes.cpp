#include "lib/deck/mistakes.hpp"

#include "kernels/base/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace trireme::deck {

void Mistakes::add(int line, std::string_view key, std::string text) {
  keys_.emplace(key);
  entries_.push_back({line > 0 ? line : std::numeric_limits<int>::max() - 1,
                      line > 0 ? fmt::format("{}:{}: {}", deck_name_, line, text)
                               : fmt::format("{}: {}", deck_name_, text)});
}

void Mistakes::add_override(std::string origin, std::string_view key, std::string text) {
  keys_.emplace(key);
  entries_.push_back({std::numeric_limits<int>::max(), fmt::format("{}: {}", origin, text)});
}

void Mistakes::throw_if_any() const {
  if (entries_.empty()) return;
  std::vector<Entry> sorted = entries_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Entry& a, const Entry& b) { return a.line < b.line; });
  std::string text = entries_.size() == 1 ? std::string("1 mistake in the deck")
                                          : fmt::format("{} mistakes in the deck", entries_.size());
  for (const Entry& entry : sorted) text += "\n  " + entry.text;
  fail(Exit::kUsage, "{}", text);
}

}  // namespace trireme::deck
