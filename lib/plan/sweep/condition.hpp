#pragma once
// Conditions on the keys of a deck, as a sweep's constraints write them:
//
//   model.hidden % model.heads == 0 and (model.layers <= 4 or run.seed == 1)
//
// Numbers, "texts", true, false, keys with their dots; + - * / %, == != < <= > >=, not, and, or,
// parentheses. Numbers are doubles; / divides them, % is the remainder with the sign of the left.

#include "lib/deck/value.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::plan {

class Condition {
 public:
  /// Exit::kUsage: no such expression; says what was expected where.
  explicit Condition(std::string text);

  const std::string& text() const { return text_; }
  /// Every key it names, once, in the order of their first mention.
  const std::vector<std::string>& keys() const { return keys_; }

  /// `value_of` gives the value of each of keys(). Exit::kUsage: a value of another kind than an
  /// operator takes ("auto" where a number is needed), or the whole is neither true nor false.
  bool holds(const std::function<deck::Value(const std::string&)>& value_of) const;

  struct Node;

 private:
  std::string text_;
  std::vector<std::string> keys_;
  std::shared_ptr<const Node> root_;
};

}  // namespace trireme::plan
