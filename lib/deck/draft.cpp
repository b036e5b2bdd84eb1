#include "lib/deck/draft.hpp"

#include "kernels/base/error.hpp"
#include "lib/deck/parse.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::deck {

namespace {

bool has_wildcard(std::string_view path) { return path.find('*') != std::string_view::npos; }

Value default_of(const Row& row) {
  if (row.required()) return {};
  std::optional<Value> value = parse_value(row.standard);
  check(value.has_value(), Exit::kUnexpected, "the default of {} is no JSON: {}", row.path,
        row.standard);
  value->line = 0;
  return *value;
}

}  // namespace

Draft::Draft(std::string deck_name) : mistakes(std::move(deck_name)) {
  for (const Section& section : sections())
    for (const Row& row : section.rows)
      if (!has_wildcard(row.path)) entries_[std::string(row.path)] = {default_of(row), false, ""};
}

void Draft::give(std::string_view path, Value value, std::string origin) {
  entries_[std::string(path)] = {std::move(value), true, std::move(origin)};
}

void Draft::derive(std::string_view path, decltype(Value::data) data) {
  const auto it = entries_.find(path);
  check(it != entries_.end(), Exit::kUnexpected, "{} is no key of the deck table", path);
  it->second.value.data = std::move(data);
}

void Draft::forget(std::string_view path) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    const bool below = it->first == path || it->first.starts_with(std::string(path) + '.');
    const Row* row = below ? find_row(it->first) : nullptr;
    if (row == nullptr) {
      ++it;
    } else if (has_wildcard(row->path)) {
      it = entries_.erase(it);
    } else {
      (it++)->second = {default_of(*row), false, ""};
    }
  }
}

const Value& Draft::at(std::string_view path) const {
  const auto it = entries_.find(path);
  check(it != entries_.end(), Exit::kUnexpected, "{} is no key of the deck table", path);
  return it->second.value;
}

bool Draft::given(std::string_view path) const {
  const auto it = entries_.find(path);
  return it != entries_.end() && it->second.given;
}

bool Draft::any_given_below(std::string_view path) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry.second.given && entry.first.starts_with(std::string(path) + '.');
  });
}

bool Draft::open(std::string_view path) const {
  const Value& value = at(path);
  return value.is_null() || value.is_auto();
}

std::int64_t Draft::integer(std::string_view path) const {
  const std::int64_t* value = at(path).integer();
  check(value != nullptr, Exit::kUnexpected, "{} is {}, not an integer", path, to_json(at(path)));
  return *value;
}

double Draft::number(std::string_view path) const {
  const Value& value = at(path);
  if (const std::int64_t* i = value.integer()) return static_cast<double>(*i);
  const double* d = std::get_if<double>(&value.data);
  check(d != nullptr, Exit::kUnexpected, "{} is {}, not a number", path, to_json(value));
  return *d;
}

bool Draft::boolean(std::string_view path) const {
  const bool* value = at(path).boolean();
  check(value != nullptr, Exit::kUnexpected, "{} is {}, not true or false", path,
        to_json(at(path)));
  return *value;
}

const std::string& Draft::text(std::string_view path) const {
  const std::string* value = at(path).text();
  check(value != nullptr, Exit::kUnexpected, "{} is {}, not a text", path, to_json(at(path)));
  return *value;
}

std::optional<std::int64_t> Draft::known(std::string_view path) const {
  const std::int64_t* value = at(path).integer();
  if (value == nullptr || mistakes.in(path)) return std::nullopt;
  return *value;
}

void Draft::wrong(std::string_view key, std::string text) {
  const auto it = entries_.find(key);
  if (it != entries_.end() && !it->second.origin.empty())
    mistakes.add_override(it->second.origin, key, std::move(text));
  else
    mistakes.add(it == entries_.end() ? 0 : it->second.value.line, key, std::move(text));
}

void Draft::conflict(std::initializer_list<std::string_view> keys, std::string text) {
  if (std::any_of(keys.begin(), keys.end(), [&](auto key) { return mistakes.in(key); })) return;
  std::string_view last = *keys.begin();
  for (const std::string_view key : keys) {
    const Entry& entry = entries_.find(key)->second;
    const Entry& best = entries_.find(last)->second;
    // An override comes after every line of the file.
    if (!entry.origin.empty() || (best.origin.empty() && entry.value.line > best.value.line))
      last = key;
  }
  wrong(last, std::move(text));
}

void Draft::warn(std::string_view key, std::string text) {
  const auto it = entries_.find(key);
  warnings.push_back(
      {std::string(key), it == entries_.end() ? 0 : it->second.value.line, std::move(text)});
}

void Draft::for_each(const std::function<void(std::string_view, const Entry&)>& visit) const {
  for (const Section& section : sections()) {
    for (const Row& row : section.rows) {
      if (!has_wildcard(row.path)) {
        visit(row.path, entries_.find(row.path)->second);
        continue;
      }
      for (const auto& [path, entry] : entries_)
        if (find_row(path) == &row) visit(path, entry);
    }
  }
}

bool applies(const Draft& draft, const Row& row) {
  if (row.variants.empty())
    return !row.path.starts_with("scheduler.params.") ||
           draft.at("scheduler.type").text() != nullptr;
  const bool of_optimizer = row.path.starts_with("optimizer.");
  const std::string* type = draft.at(of_optimizer ? "optimizer.type" : "scheduler.type").text();
  if (type == nullptr) return false;
  return (' ' + std::string(row.variants) + ' ').find(' ' + *type + ' ') != std::string::npos;
}

}  // namespace trireme::deck
