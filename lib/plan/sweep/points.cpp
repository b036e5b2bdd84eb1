#include "lib/plan/sweep/points.hpp"

#include "io/checksum.hpp"
#include "kernels/base/error.hpp"
#include "lib/deck/draft.hpp"
#include "lib/plan/sweep/axis_values.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

namespace trireme::plan {
namespace {

constexpr std::size_t kLongestValue = 12;
constexpr std::size_t kLongestName = 60;

/// A value as part of a file's name: "0.001", "AdamW", "0.9-0.95".
std::string short_text(const deck::Value& value) {
  const std::string json = value.text() ? *value.text() : deck::to_json(value);
  std::string text;
  for (const char c : json) {
    const bool fine = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                      std::string_view("._+-").find(c) != std::string_view::npos;
    if (fine)
      text += c;
    else if (!text.empty() && text.back() != '-')
      text += '-';
  }
  if (text.size() > kLongestValue) text.erase(0, text.size() - kLongestValue);  // ends differ more
  const auto first = text.find_first_not_of('-');
  const auto last = text.find_last_not_of('-');
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

std::string name_of(const std::vector<std::string>& keys, const SweepPoint& point,
                    std::string_view identity) {
  std::string name;
  for (std::size_t i = 0; i < keys.size(); ++i)
    name += fmt::format("{}{}-", deck::split_path(keys[i]).back(), short_text(point.values[i]));
  if (name.size() > kLongestName) name.resize(kLongestName);
  if (name.back() != '-') name += '-';
  return name +
         io::checksum_text(io::checksum(identity.data(), identity.size())).substr(0, kHashDigits);
}

/// Odometer over the groups, the last fastest; false after the last combination.
bool advance(std::vector<std::size_t>& at, const std::vector<SweepGroup>& groups) {
  for (std::size_t g = groups.size(); g-- > 0;) {
    if (++at[g] < groups[g].size()) return true;
    at[g] = 0;
  }
  return false;
}

SweepPoint point_at(const SweepDeck& sweep, const std::vector<std::size_t>& at,
                    const std::vector<std::string>& overrides) {
  SweepPoint point;
  point.settings = sweep.settings;
  for (std::size_t g = 0; g < sweep.groups.size(); ++g) {
    for (const SweepAxis& axis : sweep.groups[g].axes) {
      point.values.push_back(axis.values[at[g]]);
      point.settings.push_back(axis.key + "=" + deck::to_json(axis.values[at[g]]));
    }
  }
  point.settings.insert(point.settings.end(), overrides.begin(), overrides.end());
  return point;
}

bool meets(const std::vector<Condition>& constraints, const deck::Draft& draft) {
  return std::all_of(constraints.begin(), constraints.end(), [&](const Condition& condition) {
    try {
      return condition.holds([&](std::string key) {
        row_of(key);
        return draft.at(key);
      });
    } catch (const Error& error) {
      fail(Exit::kUsage, "the constraint \"{}\" can't be evaluated: {}", condition.text(),
           error.text());
    }
  });
}

void refuse_overridden_axes(const std::vector<std::string>& keys,
                            const std::vector<std::string>& overrides) {
  for (const std::string& one : overrides) {
    std::string key = one.substr(0, one.find('='));
    row_of(key);
    check(std::find(keys.begin(), keys.end(), key) == keys.end(), Exit::kUsage,
          "--set {}: {} is an axis of the sweep; change the sweep deck", one, key);
  }
}

}  // namespace

SweepPoints expand(const SweepDeck& sweep, const deck::Source& base,
                   const std::vector<std::string>& overrides) {
  const std::vector<std::string> keys = sweep.keys();
  refuse_overridden_axes(keys, overrides);
  SweepPoints result;
  std::set<std::string> identities;
  std::vector<std::size_t> at(sweep.groups.size());
  do {
    SweepPoint point = point_at(sweep, at, overrides);
    deck::Draft draft = deck::read_draft(base, point.settings);
    if (!meets(sweep.constraints, draft)) {
      ++result.left_out;
      continue;
    }
    // Of paths as they are given: a sweep that moves with its data stays the same.
    std::string identity = deck::given_json(draft);
    if (!draft.mistakes.empty()) identity += fmt::format("{}", fmt::join(point.settings, "\n"));
    if (!identities.insert(identity).second) {
      ++result.twice;
      continue;
    }
    point.name = name_of(keys, point, identity);
    deck::make_paths_absolute(draft, base.path.parent_path());
    point.deck = deck::given_json(draft);
    result.points.push_back(std::move(point));
  } while (advance(at, sweep.groups));
  check(!result.points.empty(), Exit::kUsage,
        "no point is left: constraints leave out all {} of them", result.left_out);
  return result;
}

void check_points(SweepPoints& points, const SweepDeck& sweep,
                  const std::function<void(const std::vector<std::string>&)>& check_deck) {
  std::map<std::string, std::vector<std::string>> reasons;  // points by reason: many have the same
  std::size_t refused = 0;
  for (SweepPoint& point : points.points) {
    try {
      check_deck(point.settings);
    } catch (const Error& error) {
      if (error.code() != Exit::kUsage) throw;
      point.refused = error.text();
      reasons[error.text()].push_back(point.name);
      ++refused;
    }
  }
  if (refused == 0 || (sweep.list_bad_points && refused < points.points.size())) return;
  std::string text;
  for (const auto& [reason, names] : reasons)
    text +=
        fmt::format("\n{}{}: {}", names.front(),
                    names.size() == 1 ? "" : fmt::format(" and {} more", names.size() - 1), reason);
  fail(Exit::kUsage,
       "{} of {} points do not check; leave them out by constraints, or list them with "
       "\"bad_points\": \"list\"{}",
       refused, points.points.size(), text);
}

}  // namespace trireme::plan
