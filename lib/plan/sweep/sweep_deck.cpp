#include "lib/plan/sweep/sweep_deck.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/error.hpp"
#include "lib/deck/check.hpp"
#include "lib/deck/nearest.hpp"
#include "lib/deck/parse.hpp"
#include "lib/plan/sweep/axis_values.hpp"
#include "lib/report/number_field.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace trireme::plan {
namespace {

constexpr std::array<std::string_view, 9> kKeys = {
    "deck", "set", "axes", "zip", "random", "constraints", "objective", "bad_points", "at_once"};
constexpr std::int64_t kMostPoints = 10000;

class Reader {
 public:
  Reader(const deck::Source& source, const deck::Object& root, deck::Mistakes& mistakes)
      : source_(source), root_(root), mistakes_(mistakes) {}

  SweepDeck read() {
    sweep_.file = source_.path;
    for (const auto& [key, value] : root_)
      if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end())
        mistakes_.add(value.line, key,
                      unknown_member(key, "a sweep deck", {kKeys.begin(), kKeys.end()}));
    base();
    settings();
    axes();
    zipped();
    random();
    constraints();
    objective();
    limits();
    if (sweep_.groups.empty() && mistakes_.empty())
      mistakes_.add(0, "axes", "nothing is varied: give axes, zip or random");
    return std::move(sweep_);
  }

 private:
  const deck::Value* find(std::string_view key) const { return deck::find_member(root_, key); }
  void wrong(const deck::Value& value, std::string_view key, std::string_view wanted) {
    mistakes_.add(value.line, key,
                  fmt::format("{}: expected {}; found {}", key, wanted, deck::to_json(value)));
  }

  void base() {
    const deck::Value* value = find("deck");
    if (value == nullptr) return mistakes_.add(0, "deck", "deck is missing: the base deck's path");
    if (value->text() == nullptr) return wrong(*value, "deck", "the base deck's path");
    sweep_.base = (source_.path.parent_path() / *value->text()).lexically_normal();
  }

  void settings() {
    const deck::Value* value = find("set");
    if (value == nullptr) return;
    if (value->object() == nullptr) return wrong(*value, "set", "an object of deck keys");
    for (const auto& [given, one] : *value->object()) {
      std::string key = given;
      deck::Value checked = one;
      const deck::Row* row = take(key, one.line);
      if (row == nullptr) continue;
      if (const auto text = deck::misfit(row->type, checked))
        mistakes_.add(one.line, key, key + ": " + *text);
      sweep_.settings.push_back(key + "=" + deck::to_json(one));
    }
  }

  /// The row of a key that nothing else of the sweep gives; null with a mistake.
  const deck::Row* take(std::string& key, int line) {
    const deck::Row* row = row_of(key);
    if (row == nullptr) {
      mistakes_.add(line, key, unknown_key(key));
    } else if (!taken_.insert(key).second) {
      mistakes_.add(line, key, fmt::format("{} is given twice in the sweep; keep one", key));
      return nullptr;
    }
    return row;
  }

  /// Axes of an object {key: values}, each a group of its own or all of them one.
  std::vector<SweepAxis> axes_of(const deck::Value& object, std::string_view where,
                                 const std::optional<Draws>& draws) {
    std::vector<SweepAxis> found;
    if (object.object() == nullptr || object.object()->empty()) {
      wrong(object, where, "an object of deck keys and their values");
      return found;
    }
    for (const auto& [given, value] : *object.object()) {
      std::string key = given;
      const deck::Row* row = take(key, value.line);
      if (row == nullptr) continue;
      std::vector<deck::Value> values = axis_values(*row, key, value, draws, mistakes_);
      if (!values.empty()) found.push_back({key, std::move(values)});
    }
    return found;
  }

  void axes() {
    if (const deck::Value* value = find("axes"))
      for (SweepAxis& axis : axes_of(*value, "axes", std::nullopt))
        sweep_.groups.push_back({{std::move(axis)}, false});
  }

  void zipped() {
    const deck::Value* value = find("zip");
    if (value == nullptr) return;
    if (value->list() == nullptr) return wrong(*value, "zip", "a list of objects of axes");
    for (const deck::Value& one : *value->list()) {
      std::vector<SweepAxis> axes = axes_of(one, "zip", std::nullopt);
      if (axes.empty()) continue;
      for (const SweepAxis& axis : axes)
        if (axis.values.size() != axes.front().values.size())
          mistakes_.add(
              one.line, axis.key,
              fmt::format("zip: {} has {} values, {} has {}: expected as many", axes.front().key,
                          axes.front().values.size(), axis.key, axis.values.size()));
      sweep_.groups.push_back({std::move(axes), false});
    }
  }

  void random() {
    const deck::Value* value = find("random");
    if (value == nullptr) return;
    if (value->object() == nullptr)
      return wrong(*value, "random", "an object with count, seed and axes");
    for (const auto& [key, member] : *value->object())
      if (key != "count" && key != "seed" && key != "axes")
        mistakes_.add(member.line, key, unknown_member(key, "random", {"count", "seed", "axes"}));
    const auto count = integer(*value, "count", 1, kMostPoints);
    const auto seed = integer(*value, "seed", 0, INT64_MAX);
    const deck::Value* axes = deck::find_member(*value->object(), "axes");
    if (axes == nullptr) return mistakes_.add(value->line, "random", "random.axes is missing");
    const Draws draws{count.value_or(1), static_cast<std::uint64_t>(seed.value_or(0))};
    if (std::vector<SweepAxis> drawn = axes_of(*axes, "random.axes", draws); !drawn.empty())
      sweep_.groups.push_back({std::move(drawn), true});
  }

  std::optional<std::int64_t> integer(const deck::Value& object, std::string_view key,
                                      std::int64_t low, std::int64_t high) {
    const deck::Value* value = deck::find_member(*object.object(), key);
    if (value == nullptr) {
      mistakes_.add(object.line, key, fmt::format("random.{} is missing: an integer", key));
      return std::nullopt;
    }
    const std::int64_t* number = value->integer();
    if (number != nullptr && *number >= low && *number <= high) return *number;
    wrong(*value, key, fmt::format("an integer from {} to {}", low, high));
    return std::nullopt;
  }

  void constraints() {
    const deck::Value* value = find("constraints");
    if (value == nullptr) return;
    if (value->list() == nullptr) return wrong(*value, "constraints", "a list of conditions");
    for (const deck::Value& one : *value->list()) {
      if (one.text() == nullptr) {
        wrong(one, "constraints", "a condition such as \"model.hidden % model.heads == 0\"");
        continue;
      }
      try {
        Condition condition(*one.text());
        for (std::string key : condition.keys())
          if (row_of(key) == nullptr)
            mistakes_.add(one.line, key,
                          fmt::format("constraint \"{}\": {}", *one.text(), unknown_key(key)));
        sweep_.constraints.push_back(std::move(condition));
      } catch (const Error& error) {
        mistakes_.add(one.line, "constraints",
                      fmt::format("constraint \"{}\": {}", *one.text(), error.text()));
      }
    }
  }

  void objective() {
    const deck::Value* value = find("objective");
    if (value == nullptr) return;
    const deck::Object* object = value->object();
    const bool one = object != nullptr && object->size() == 1;
    if (!one || (object->front().first != "minimize" && object->front().first != "maximize"))
      return wrong(*value, "objective", "{\"minimize\": FIELD} or {\"maximize\": FIELD}");
    const deck::Value& field = object->front().second;
    const std::vector<std::string> known = report::number_fields();
    if (field.text() == nullptr ||
        std::find(known.begin(), known.end(), *field.text()) == known.end()) {
      std::vector<std::string_view> names(known.begin(), known.end());
      const std::string_view near = field.text() ? deck::nearest(*field.text(), names) : "";
      return mistakes_.add(
          field.line, "objective",
          fmt::format("objective: {} is no number of report.json{}", deck::to_json(field),
                      near.empty() ? std::string(" such as \"loss.last\"")
                                   : fmt::format("; nearest known: \"{}\"", near)));
    }
    sweep_.objective = {*field.text(), object->front().first == "minimize"};
  }

  void limits() {
    if (const deck::Value* value = find("bad_points")) {
      const std::string* text = value->text();
      if (text == nullptr || (*text != "refuse" && *text != "list"))
        wrong(*value, "bad_points", "\"refuse\" or \"list\"");
      else
        sweep_.list_bad_points = *text == "list";
    }
    if (const deck::Value* value = find("at_once")) {
      const std::int64_t* number = value->integer();
      if (number == nullptr || *number < 1)
        wrong(*value, "at_once", "an integer of at least 1");
      else
        sweep_.at_once = *number;
    }
    std::int64_t points = 1;
    for (const SweepGroup& group : sweep_.groups) {
      points = checked_multiply(points, narrow<std::int64_t>(group.size()));
      if (points <= kMostPoints) continue;
      mistakes_.add(0, "axes", fmt::format("more than {} points: vary less at once", kMostPoints));
      return;
    }
  }

  const deck::Source& source_;
  const deck::Object& root_;
  deck::Mistakes& mistakes_;
  SweepDeck sweep_;
  std::set<std::string> taken_;
};

}  // namespace

std::vector<std::string> SweepDeck::keys() const {
  std::vector<std::string> all;
  for (const SweepGroup& group : groups)
    for (const SweepAxis& axis : group.axes) all.push_back(axis.key);
  return all;
}

bool is_sweep(const deck::Source& source) {
  deck::Mistakes ignored("");
  const auto root = deck::parse_deck(source.text, ignored);
  if (!root || deck::find_member(*root, "deck") == nullptr) return false;
  return std::any_of(kKeys.begin() + 2, kKeys.end(),
                     [&](auto key) { return deck::find_member(*root, key) != nullptr; });
}

SweepDeck read_sweep(const deck::Source& source) {
  deck::Mistakes mistakes(source.path.filename().string());
  const auto root = deck::parse_deck(source.text, mistakes);
  SweepDeck sweep;
  if (root) sweep = Reader(source, *root, mistakes).read();
  mistakes.throw_if_any();
  return sweep;
}

}  // namespace trireme::plan
