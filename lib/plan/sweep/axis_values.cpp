#include "lib/plan/sweep/axis_values.hpp"

#include "io/checksum.hpp"
#include "kernels/base/random.hpp"
#include "lib/deck/check.hpp"
#include "lib/deck/nearest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace trireme::plan {
namespace {

constexpr std::int64_t kMost = 10000;  // values of an axis

struct Range {
  double low = 0;
  double high = 0;
  bool logarithmic = false;
};

/// The value at `share` of the way through a range: both ends exact, six digits between them.
double within(const Range& range, double share) {
  if (share <= 0) return range.low;
  if (share >= 1) return range.high;
  const double value = range.logarithmic ? range.low * std::pow(range.high / range.low, share)
                                         : range.low + share * (range.high - range.low);
  return std::stod(fmt::format("{:.5e}", value));
}

/// A uniform number in [0, 1) that depends on nothing but its arguments.
double uniform(const Draws& draws, const std::string& key, std::int64_t index) {
  const auto words =
      Philox(draws.seed)
          .at(static_cast<std::uint64_t>(index), io::checksum(key.data(), key.size()));
  const std::uint64_t bits = std::uint64_t{words[0]} << 21 | words[1] >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

/// One axis in the making.
class Reader {
 public:
  Reader(const deck::Row& row, const std::string& key, const deck::Value& given,
         deck::Mistakes& mistakes)
      : row_(row), key_(key), given_(given), mistakes_(mistakes) {}

  std::vector<deck::Value> values(const std::optional<Draws>& draws) {
    std::vector<deck::Value> found;
    if (given_.list() != nullptr)
      found = from_list(draws);
    else if (given_.object() != nullptr)
      found = from_range(*given_.object(), draws);
    else
      wrong(fmt::format("expected a list or a range; found {}", deck::to_json(given_)));
    if (!fine_) return {};
    for (deck::Value& value : found) check(value);
    if (!draws) no_twins(found);
    return fine_ ? found : std::vector<deck::Value>{};
  }

 private:
  void wrong(const std::string& text) { wrong_at(given_.line, text); }
  void wrong_at(int line, const std::string& text) {
    fine_ = false;
    mistakes_.add(line, key_, key_ + ": " + text);
  }

  bool takes_integers() const {
    return (row_.type.kinds & deck::kInteger) != 0 && (row_.type.kinds & deck::kNumber) == 0;
  }

  void check(deck::Value& value) {
    const int line = value.line > 0 ? value.line : given_.line;
    if (const auto text = deck::misfit(row_.type, value)) wrong_at(line, *text);
    value.line = 0;
  }

  void no_twins(const std::vector<deck::Value>& values) {
    std::set<std::string> seen;
    for (const deck::Value& value : values) {
      const auto number = number_in(value);  // 1 and 1.0 are the same
      if (seen.insert(number ? fmt::format("{}", *number) : deck::to_json(value)).second) continue;
      return wrong(fmt::format("{} is there twice; ask for fewer values or other ones",
                               deck::to_json(value)));
    }
  }

  std::vector<deck::Value> from_list(const std::optional<Draws>& draws) {
    const deck::List& list = *given_.list();
    if (list.empty()) wrong("an empty list; name at least one value");
    if (!draws || list.empty()) return list;
    std::vector<deck::Value> drawn;
    for (std::int64_t i = 0; i < draws->count; ++i)
      drawn.push_back(list[static_cast<std::size_t>(uniform(*draws, key_, i) *
                                                    static_cast<double>(list.size()))]);
    return drawn;
  }

  std::optional<Range> range_of(const deck::Object& object) {
    const deck::Value* linear = deck::find_member(object, "range");
    const deck::Value* logarithmic = deck::find_member(object, "log_range");
    if ((linear == nullptr) == (logarithmic == nullptr)) {
      wrong("expected \"range\" or \"log_range\", one of both");
      return std::nullopt;
    }
    const deck::Value& ends = linear != nullptr ? *linear : *logarithmic;
    const deck::List* list = ends.list();
    const auto low = list && list->size() == 2 ? number_in(list->front()) : std::nullopt;
    const auto high = list && list->size() == 2 ? number_in(list->back()) : std::nullopt;
    if (!low || !high || !(*low < *high)) {
      wrong_at(ends.line, fmt::format("expected [low, high], the first below the second; found {}",
                                      deck::to_json(ends)));
      return std::nullopt;
    }
    if (logarithmic != nullptr && *low <= 0) {
      wrong_at(ends.line, fmt::format("a log_range starts above 0, found {}", *low));
      return std::nullopt;
    }
    return Range{*low, *high, logarithmic != nullptr};
  }

  /// A number as the key takes it; integers where all it could be are integers.
  deck::Value as_value(double number) const {
    if (takes_integers()) return {static_cast<std::int64_t>(std::llround(number)), given_.line};
    return {number, given_.line};
  }

  std::vector<deck::Value> from_range(const deck::Object& object,
                                      const std::optional<Draws>& draws) {
    for (const auto& [name, value] : object)
      if (name != "range" && name != "log_range" && (draws || (name != "step" && name != "count")))
        wrong_at(value.line,
                 draws && (name == "step" || name == "count")
                     ? fmt::format("\"{}\" has no meaning where values are drawn", name)
                     : unknown_member(name, "a range", {"range", "log_range", "step", "count"}));
    const std::optional<Range> range = range_of(object);
    if (!range || !fine_) return {};
    if (!(std::abs(range->low) < 9e15 && std::abs(range->high) < 9e15)) {
      wrong("a range's ends are below 9e15");
      return {};
    }
    return draws ? drawn_from(*range, *draws) : spaced(*range, object);
  }

  std::vector<deck::Value> drawn_from(const Range& range, const Draws& draws) const {
    std::vector<deck::Value> drawn;
    // Integers: every one of low..high has the same share.
    const double low = std::ceil(range.low);
    const double span = std::floor(range.high) - low + 1;
    for (std::int64_t i = 0; i < draws.count; ++i) {
      const double share = uniform(draws, key_, i);
      drawn.push_back(as_value(takes_integers() && !range.logarithmic
                                   ? low + std::floor(share * span)
                                   : within(range, share)));
    }
    return drawn;
  }

  std::vector<deck::Value> spaced(const Range& range, const deck::Object& object) {
    const deck::Value* count = deck::find_member(object, "count");
    const deck::Value* step = deck::find_member(object, "step");
    if ((count == nullptr) == (step == nullptr)) {
      wrong("expected \"step\" or \"count\" with the range, one of both");
      return {};
    }
    std::vector<deck::Value> values;
    if (count != nullptr) {
      const std::int64_t* number = count->integer();
      if (number == nullptr || *number < 2 || *number > kMost) {
        wrong_at(count->line, fmt::format("count: expected an integer from 2 to {}; found {}",
                                          kMost, deck::to_json(*count)));
        return {};
      }
      for (std::int64_t i = 0; i < *number; ++i)
        values.push_back(
            as_value(within(range, static_cast<double>(i) / static_cast<double>(*number - 1))));
      return values;
    }
    const auto width = number_in(*step);
    if (range.logarithmic) {
      wrong_at(step->line, "a log_range takes \"count\", no \"step\"");
    } else if (!width || !(*width > 0) || (range.high - range.low) / *width > kMost) {
      wrong_at(step->line, fmt::format("step: expected a number above 0 with at most {} values; "
                                       "found {}",
                                       kMost, deck::to_json(*step)));
    } else if (takes_integers() && (*width != std::floor(*width))) {
      wrong_at(step->line, fmt::format("step: {} takes integers; found {}", key_, *width));
    } else {
      for (std::int64_t i = 0;
           range.low + static_cast<double>(i) * *width <= range.high + 1e-9 * *width; ++i)
        values.push_back(as_value(
            std::stod(fmt::format("{:.15g}", range.low + static_cast<double>(i) * *width))));
    }
    return values;
  }

  const deck::Row& row_;
  const std::string& key_;
  const deck::Value& given_;
  deck::Mistakes& mistakes_;
  bool fine_ = true;
};

}  // namespace

std::vector<deck::Value> axis_values(const deck::Row& row, const std::string& key,
                                     const deck::Value& given, const std::optional<Draws>& draws,
                                     deck::Mistakes& mistakes) {
  return Reader(row, key, given, mistakes).values(draws);
}

std::string unknown_key(std::string_view key) {
  std::string text = fmt::format("unknown key \"{}\" of a deck", key);
  std::vector<std::string_view> paths;
  for (const deck::Section& section : deck::sections())
    for (const deck::Row& row : section.rows) paths.push_back(row.path);
  if (deck::is_section(key)) return text + ": it is a section, name one of its keys";
  const std::string_view near = deck::nearest(key, paths);
  return near.empty() ? text : text + fmt::format("; nearest known: \"{}\"", near);
}

std::string unknown_member(std::string_view key, std::string_view where,
                           const std::vector<std::string_view>& known) {
  const std::string_view near = deck::nearest(key, known);
  return fmt::format("unknown key \"{}\" in {}{}", key, where,
                     near.empty() ? "" : fmt::format("; nearest known: \"{}\"", near));
}

const deck::Row* row_of(std::string& key) {
  for (const deck::Alias& alias : deck::aliases())
    if (key == alias.from) key = alias.to;
  return deck::find_row(key);
}

std::optional<double> number_in(const deck::Value& value) {
  if (const std::int64_t* integer = value.integer()) return static_cast<double>(*integer);
  if (const double* number = std::get_if<double>(&value.data)) return *number;
  return std::nullopt;
}

}  // namespace trireme::plan
