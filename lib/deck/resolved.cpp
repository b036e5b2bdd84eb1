// The resolved deck as JSON, its fingerprint, and how two resolved decks differ.
#include "kernels/base/error.hpp"
#include "lib/deck/draft.hpp"
#include "lib/deck/parse.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <filesystem>

namespace trireme::deck {

namespace {

void for_each_that_applies(const Draft& draft,
                           const std::function<void(std::string_view, const Value&)>& visit) {
  draft.for_each([&](std::string_view path, const Draft::Entry& entry) {
    if (applies(draft, *find_row(path))) visit(path, entry.value);
  });
}

/// Token files count by name: moving them is no other run, and their content is compared with the
/// checkpoint by whoever reads it.
Value identity(std::string_view path, Value value) {
  if (path != "data.tokens" && path != "data.validation_tokens") return value;
  const auto file_name = [](Value& v) {
    if (const std::string* text = v.text())
      v.data = std::filesystem::path(*text).filename().string();
  };
  file_name(value);
  if (value.list() != nullptr)
    for (Value& element : std::get<List>(value.data)) file_name(element);
  return value;
}

using Leaves = std::vector<std::pair<std::string, Value>>;

/// Every key of a resolved deck with its dotted path.
void flatten(std::string_view prefix, const Object& object, Leaves& leaves) {
  for (const auto& [key, value] : object) {
    const std::string path = prefix.empty() ? key : fmt::format("{}.{}", prefix, key);
    const Object* members = find_row(path) ? nullptr : value.object();
    if (members != nullptr)
      flatten(path, *members, leaves);
    else
      leaves.emplace_back(path, value);
  }
}

Leaves leaves_of(std::string_view resolved) {
  const std::optional<Value> root = parse_value(resolved);
  check(root && root->object(), Exit::kFile,
        "expected a resolved deck (one JSON object); found something else: is the file damaged?");
  Leaves leaves;
  flatten("", *root->object(), leaves);
  return leaves;
}

const Value* find_leaf(const Leaves& leaves, std::string_view path) {
  for (const auto& [key, value] : leaves)
    if (key == path) return &value;
  return nullptr;
}

/// A key that an earlier version did not know had the effect of what is now its default.
bool is_default(const std::string& path, const Value& value) {
  const Row* row = find_row(path);
  if (row == nullptr || row->required()) return false;
  const std::optional<Value> standard = parse_value(row->standard);
  return standard && value == *standard;
}

Change compare(const std::string& path, const Value* before, const Value* after) {
  const bool same_identity = after && (before ? identity(path, *before) == identity(path, *after)
                                              : is_default(path, *after));
  return {path, before ? to_json(*before) : "absent", after ? to_json(*after) : "absent",
          in_fingerprint(path) && !same_identity};
}

}  // namespace

std::string given_json(const Draft& draft) {
  Object root;
  draft.for_each([&](std::string_view path, const Draft::Entry& entry) {
    if (entry.given) set_at_path(root, path, entry.value);
  });
  return to_pretty_json({std::move(root)});
}

std::string resolved_json(const Draft& draft) {
  Object root;
  for_each_that_applies(
      draft, [&](std::string_view path, const Value& value) { set_at_path(root, path, value); });
  return to_pretty_json({std::move(root)});
}

std::string fingerprint(const Draft& draft) {
  std::string text;
  for_each_that_applies(draft, [&](std::string_view path, const Value& value) {
    if (in_fingerprint(path)) text += fmt::format("{}={}\n", path, to_json(identity(path, value)));
  });
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

std::vector<Change> changes(std::string_view resolved_before, std::string_view resolved_after) {
  const Leaves before = leaves_of(resolved_before);
  const Leaves after = leaves_of(resolved_after);
  std::vector<Change> found;
  for (const auto& [path, value] : before) {
    const Value* now = find_leaf(after, path);
    if (now == nullptr || !(*now == value)) found.push_back(compare(path, &value, now));
  }
  for (const auto& [path, value] : after)
    if (find_leaf(before, path) == nullptr) found.push_back(compare(path, nullptr, &value));
  return found;
}

}  // namespace trireme::deck
