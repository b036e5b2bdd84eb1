#pragma once
// A JSON value that knows the line it stands on. Objects keep the order of their keys.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace trireme::deck {

struct Value;
using List = std::vector<Value>;
using Object = std::vector<std::pair<std::string, Value>>;

struct Value {
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Object> data;
  int line = 0;  ///< of the key or element, from 1; 0 = a default or an override

  bool is_null() const { return std::holds_alternative<std::monostate>(data); }
  const bool* boolean() const { return std::get_if<bool>(&data); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data); }
  const std::string* text() const { return std::get_if<std::string>(&data); }
  const List* list() const { return std::get_if<List>(&data); }
  const Object* object() const { return std::get_if<Object>(&data); }
  Object* object() { return std::get_if<Object>(&data); }
  bool is_auto() const { return text() != nullptr && *text() == "auto"; }

  /// Equal content; lines do not count, and 1 equals 1.0.
  friend bool operator==(const Value& a, const Value& b);
};

/// The member called `key`, null when absent.
const Value* find_member(const Object& object, std::string_view key);
/// Writes `value` at the dotted path, making objects on the way.
/// A component that exists and is no object is replaced by one.
void set_at_path(Object& root, std::string_view path, Value value);

/// JSON on one line; numbers in the shortest form that reads back to the same bits.
std::string to_json(const Value& value);
/// JSON with one key a line, two blanks a level.
std::string to_pretty_json(const Value& value);

/// Splits "a.b.c" at its dots.
std::vector<std::string_view> split_path(std::string_view path);

}  // namespace trireme::deck
