#include "lib/deck/value.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trireme::deck {

namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          out += fmt::format("\\u{:04x}", static_cast<int>(c));
        else
          out += c;
    }
  }
  return out + '"';
}

/// A double that reads back as a double: 1 is written 1.0.
std::string number_text(double x) {
  std::string text = fmt::format("{}", x);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

void write(const Value& value, int indent, bool pretty, std::string& out);

template <class Items, class WriteItem>
void write_items(const Items& items, std::string_view brackets, int indent, bool pretty,
                 std::string& out, WriteItem write_item) {
  out += brackets[0];
  const char* separator = "";
  for (const auto& item : items) {
    out += separator;
    separator = pretty ? "," : ", ";
    if (pretty) out += '\n' + std::string(static_cast<std::size_t>(2 * (indent + 1)), ' ');
    write_item(item);
  }
  if (pretty && !items.empty())
    out += '\n' + std::string(static_cast<std::size_t>(2 * indent), ' ');
  out += brackets[1];
}

void write(const Value& value, int indent, bool pretty, std::string& out) {
  if (value.is_null()) {
    out += "null";
  } else if (const bool* b = value.boolean()) {
    out += *b ? "true" : "false";
  } else if (const std::int64_t* i = value.integer()) {
    out += fmt::format("{}", *i);
  } else if (const double* d = std::get_if<double>(&value.data)) {
    out += number_text(*d);
  } else if (const std::string* s = value.text()) {
    out += quoted(*s);
  } else if (const List* list = value.list()) {
    const bool tall = std::any_of(list->begin(), list->end(),
                                  [](const Value& v) { return v.object() != nullptr; });
    write_items(*list, "[]", indent, pretty && tall, out,
                [&](const Value& v) { write(v, indent + 1, pretty, out); });
  } else {
    write_items(*value.object(), "{}", indent, pretty, out, [&](const auto& member) {
      out += quoted(member.first) + ": ";
      write(member.second, indent + 1, pretty, out);
    });
  }
}

}  // namespace

bool operator==(const Value& a, const Value& b) {
  const auto number = [](const Value& v) -> const double* { return std::get_if<double>(&v.data); };
  if (a.integer() && number(b)) return static_cast<double>(*a.integer()) == *number(b);
  if (number(a) && b.integer()) return *number(a) == static_cast<double>(*b.integer());
  return a.data == b.data;
}

const Value* find_member(const Object& object, std::string_view key) {
  const auto it = std::find_if(object.begin(), object.end(),
                               [&](const auto& member) { return member.first == key; });
  return it == object.end() ? nullptr : &it->second;
}

void set_at_path(Object& root, std::string_view path, Value value) {
  Object* object = &root;
  const auto parts = split_path(path);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto it = std::find_if(object->begin(), object->end(),
                           [&](const auto& member) { return member.first == parts[i]; });
    if (it == object->end()) {
      object->emplace_back(std::string(parts[i]), Value{{}, value.line});
      it = object->end() - 1;
    }
    if (i + 1 == parts.size()) {
      it->second = std::move(value);
      return;
    }
    if (it->second.object() == nullptr) it->second.data = Object{};
    object = it->second.object();
  }
}

std::string to_json(const Value& value) {
  std::string out;
  write(value, 0, false, out);
  return out;
}

std::string to_pretty_json(const Value& value) {
  std::string out;
  write(value, 0, true, out);
  return out + '\n';
}

std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto dot = path.find('.');
    parts.push_back(path.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    path.remove_prefix(dot + 1);
  }
}

}  // namespace trireme::deck
