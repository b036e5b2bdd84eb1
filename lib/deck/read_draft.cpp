// From text and overrides to a draft: every key against its row of the table.
#include "lib/deck/check.hpp"
#include "lib/deck/draft.hpp"
#include "lib/deck/nearest.hpp"
#include "lib/deck/parse.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::deck {

namespace {

std::string join(std::string_view prefix, std::string_view key) {
  return prefix.empty() ? std::string(key) : fmt::format("{}.{}", prefix, key);
}

/// Reads one object tree, from the file or from an override, into the draft.
class Reader {
 public:
  /// `origin` is the text of the override, empty for the file.
  Reader(Draft& draft, std::string origin) : draft_(draft), origin_(std::move(origin)) {}

  void read(std::string_view prefix, const Object& object) {
    for (const auto& [key, value] : object) read_key(prefix, key, value);
  }

  void read_key(std::string_view prefix, std::string_view key, const Value& value) {
    const int line = origin_.empty() ? value.line : 0;  // an override stands in no line
    const std::string path = canonical(join(prefix, key), line);
    if (const Row* row = find_row(path)) return accept(*row, path, value);
    if (!is_section(path)) return unknown(prefix, key, value.line);
    if (const Object* object = value.object()) return read(path, *object);
    if (value.is_null()) return draft_.forget(path);
    if (path == "zero_optimization" && value.boolean())  // the old form
      return accept(*find_row("zero_optimization.stage"), "zero_optimization.stage",
                    {std::int64_t{*value.boolean() ? 1 : 0}, value.line});
    wrong(value.line, path,
          fmt::format("{}: expected a section {{ ... }}; found {}", path, to_json(value)));
  }

 private:
  void wrong(int line, std::string_view key, std::string text) {
    if (origin_.empty())
      draft_.mistakes.add(line, key, std::move(text));
    else
      draft_.mistakes.add_override(origin_, key, std::move(text));
  }

  /// The table's spelling of a path.
  std::string canonical(std::string path, int line) {
    for (const Alias& alias : aliases()) {
      if (path != alias.from) continue;
      if (!alias.warning.empty())
        draft_.warnings.push_back(
            {std::string(alias.to), line,
             fmt::format("{} is read as {}: {}", alias.from, alias.to, alias.warning)});
      return std::string(alias.to);
    }
    return path;
  }

  void unknown(std::string_view prefix, std::string_view key, int line) {
    std::string text = fmt::format("unknown key \"{}\"", key);
    if (!prefix.empty()) text += fmt::format(" in {}", prefix);
    if (const std::string_view sibling = nearest(key, names_below(prefix)); !sibling.empty())
      text += fmt::format("; nearest known: \"{}\"", sibling);
    else if (const std::string far = anywhere(key); !far.empty())
      text += fmt::format("; nearest known: \"{}\"", far);
    wrong(line, join(prefix, key), std::move(text));
  }

  /// The path whose last name is nearest to `key`: a key in the wrong section.
  static std::string anywhere(std::string_view key) {
    std::vector<std::string_view> names;
    std::vector<std::string_view> paths;
    for (const Section& section : sections())
      for (const Row& row : section.rows) {
        names.push_back(split_path(row.path).back());
        paths.push_back(row.path);
      }
    const std::string_view name = nearest(key, names);
    if (name.empty()) return "";
    return std::string(paths[static_cast<std::size_t>(std::find(names.begin(), names.end(), name) -
                                                      names.begin())]);
  }

  void accept(const Row& row, const std::string& path, Value value) {
    if (!origin_.empty()) value.line = 0;
    if (origin_.empty() && draft_.given(path))
      return wrong(value.line, path,
                   fmt::format("{} is given twice, under two names; keep one", path));
    if (const auto text = misfit(row.type, value))
      return wrong(value.line, path, path + ": " + *text);
    if (value.is_auto() && row.type.automatic == Auto::standard && row.standard != "\"auto\"") {
      draft_.forget(path);
      draft_.warnings.push_back(
          {path, value.line,
           fmt::format("{}: \"auto\" has nothing to be derived from here; the "
                       "default {} is taken",
                       path, row.standard)});
      return;
    }
    const std::optional<Value> standard = row.required() ? std::nullopt : parse_value(row.standard);
    const bool changed = !standard || !(value == *standard);
    if (changed && row.status == Status::not_yet)
      wrong(value.line, path,
            fmt::format("{}: {} is not done yet; nearest: {}", path, to_json(value), row.note));
    if (changed && row.status == Status::refused)
      wrong(value.line, path, fmt::format("{}: {}", path, row.note));
    if (changed && row.status == Status::no_influence)
      draft_.warnings.push_back(
          {path, value.line,
           fmt::format("{}: {} has no influence: {}", path, to_json(value), row.note)});
    draft_.give(path, std::move(value), origin_);
  }

  Draft& draft_;
  std::string origin_;
};

void apply_override(Draft& draft, const std::string& override_text) {
  const std::string origin = "--set " + override_text;
  const auto equals = override_text.find('=');
  if (equals == std::string::npos || equals == 0) {
    draft.mistakes.add_override(origin, "", "expected a.b=c: a dotted key, '=', a value");
    return;
  }
  const std::string_view path = std::string_view(override_text).substr(0, equals);
  const std::string_view right = std::string_view(override_text).substr(equals + 1);
  Value value = parse_value(right).value_or(Value{std::string(right), 0});
  // The path is walked as an object tree would be, so that aliases and sections behave alike.
  Object tree;
  set_at_path(tree, path, std::move(value));
  Reader(draft, origin).read("", tree);
}

/// Keys of an optimizer or scheduler other than the chosen one, and keys that are needed.
void check_variants(Draft& draft) {
  for (const Section& section : sections()) {
    for (const Row& row : section.rows) {
      const bool of_optimizer = row.path.starts_with("optimizer.");
      const std::string_view chooser = of_optimizer ? "optimizer.type" : "scheduler.type";
      const bool variant = !row.variants.empty() || row.path.starts_with("scheduler.params.");
      if (variant && draft.mistakes.in(chooser)) continue;
      const bool belongs = applies(draft, row);
      if (row.required() && belongs && !draft.given(row.path) && !draft.mistakes.in(row.path))
        draft.wrong(row.path, fmt::format("{} is missing: {}", row.path, row.help));
      if (belongs || !draft.given(row.path)) continue;
      const std::string* type = draft.at(chooser).text();
      draft.wrong(row.path, type ? fmt::format("{} does not belong to {} but to {}", row.path,
                                               *type, row.variants)
                                 : fmt::format("{} is given without {}", row.path, chooser));
    }
  }
}

/// Defaults that DeepSpeed changed over time: an old deck may have meant another value.
void warn_of_differing_defaults(Draft& draft) {
  for (const Section& section : sections()) {
    for (const Row& row : section.rows) {
      if (row.differs.empty() || draft.given(row.path)) continue;
      const auto dot = row.path.rfind('.');
      if (dot != std::string_view::npos && !draft.any_given_below(row.path.substr(0, dot)))
        continue;
      draft.warn(row.path,
                 fmt::format("{} is absent: {} is taken; {}", row.path, row.standard, row.differs));
    }
  }
}

}  // namespace

Draft read_draft(const Source& source, const std::vector<std::string>& overrides) {
  Draft draft(source.path.filename().string());
  const std::optional<Object> root = parse_deck(source.text, draft.mistakes);
  if (!root) draft.mistakes.throw_if_any();  // nothing else can be said about it
  Reader(draft, "").read("", *root);
  for (const std::string& text : overrides) apply_override(draft, text);
  check_variants(draft);
  warn_of_differing_defaults(draft);
  return draft;
}

}  // namespace trireme::deck
