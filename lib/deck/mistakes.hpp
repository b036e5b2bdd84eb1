#pragma once
// Everything wrong with a deck, collected and reported in one go.

#include "lib/deck/deck.hpp"

#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::deck {

class Mistakes {
 public:
  explicit Mistakes(std::string deck_name) : deck_name_(std::move(deck_name)) {}

  /// A mistake in the value of `key` on `line`; line 0 names no line.
  void add(int line, std::string_view key, std::string text);
  /// The same for a key that an override brought; `origin` ("--set a.b=c") stands for the line.
  void add_override(std::string origin, std::string_view key, std::string text);

  /// True when a mistake was found in the value of `key`: what follows from it is not reported.
  bool in(std::string_view key) const { return keys_.contains(std::string(key)); }
  bool empty() const { return entries_.empty(); }

  /// Throws Error(Exit::kUsage) with one line a mistake, by line of the deck, unless empty.
  void throw_if_any() const;

 private:
  struct Entry {
    int line = 0;
    std::string text;
  };
  std::string deck_name_;
  std::vector<Entry> entries_;
  std::set<std::string> keys_;
};

}  // namespace trireme::deck
