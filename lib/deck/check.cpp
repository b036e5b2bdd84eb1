#include "lib/deck/check.hpp"

#include "lib/deck/nearest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

namespace trireme::deck {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::string found(const Value& value) {
  const char* kind = value.is_null()   ? ""
                     : value.boolean() ? ""
                     : value.integer() ? " (an integer)"
                     : value.text()    ? " (a text)"
                     : value.list()    ? " (a list)"
                     : value.object()  ? " (a section)"
                                       : " (a number)";
  std::string json = to_json(value);
  if (json.size() > 60) json = json.substr(0, 57) + "...";
  return json + kind;
}

std::string expected(const Type& type, const Value& value) {
  return fmt::format("expected {}; found {}", describe(type), found(value));
}

bool in_range(const Type& type, double x) {
  if (!std::isfinite(x)) return false;
  if (type.minimum && (type.minimum_excluded ? x <= *type.minimum : x < *type.minimum))
    return false;
  return !type.maximum || (type.maximum_excluded ? x < *type.maximum : x <= *type.maximum);
}

/// The bytes of "4 GiB" or "1.5e9 B"; nothing when the text is no size. Blanks may be left out.
std::optional<std::int64_t> size_in_bytes(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, double>, 10> kUnits = {{{"", 1},
                                                                           {"b", 1},
                                                                           {"kb", 1e3},
                                                                           {"mb", 1e6},
                                                                           {"gb", 1e9},
                                                                           {"tb", 1e12},
                                                                           {"kib", 0x1p10},
                                                                           {"mib", 0x1p20},
                                                                           {"gib", 0x1p30},
                                                                           {"tib", 0x1p40}}};
  double count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc{}) return std::nullopt;
  std::string unit = lower(std::string_view(rest, static_cast<std::size_t>(end - rest)));
  std::erase(unit, ' ');
  for (const auto& [name, factor] : kUnits)
    if (unit == name && count >= 0 && count * factor < 9e18)
      return static_cast<std::int64_t>(count * factor);
  return std::nullopt;
}

/// Texts: free, or one of the choices (spelled as the table spells them afterwards).
std::optional<std::string> misfit_text(const Type& type, Value& value) {
  if (type.sizes) {
    const auto size = size_in_bytes(*value.text());
    if (!size) return expected(type, value);
    value.data = *size;
    return std::nullopt;
  }
  if (type.choices.empty()) return std::nullopt;
  const std::string given = *value.text();
  const auto same = [&](std::string_view choice) {
    return type.fold_case ? lower(choice) == lower(given) : choice == given;
  };
  if (const auto it = std::find_if(type.choices.begin(), type.choices.end(), same);
      it != type.choices.end()) {
    value.data = std::string(*it);
    return std::nullopt;
  }
  if (std::any_of(type.later.begin(), type.later.end(), same))
    return fmt::format("\"{}\" is not done yet; choose {}", given, describe(type));
  const std::string_view meant = nearest(given, type.choices);
  return meant.empty() ? expected(type, value)
                       : fmt::format("{}; nearest: \"{}\"", expected(type, value), meant);
}

std::optional<std::string> misfit_number(const Type& type, unsigned kinds, Value& value) {
  if (const std::int64_t* i = value.integer()) {
    if (!(kinds & (kInteger | kNumber)) || !in_range(type, static_cast<double>(*i)))
      return expected(type, value);
    return std::nullopt;
  }
  const double x = std::get<double>(value.data);
  if (!in_range(type, x)) return expected(type, value);
  if (kinds & kNumber) return std::nullopt;
  // 2^63 itself no longer fits.
  if ((kinds & kInteger) && x == std::floor(x) && std::abs(x) < 9223372036854775808.0) {
    value.data = static_cast<std::int64_t>(x);
    return std::nullopt;
  }
  return expected(type, value);
}

std::optional<std::string> misfit_kinds(const Type& type, unsigned kinds, Value& value) {
  if (kinds & kAny) return std::nullopt;
  const auto unless = [&](bool ok) {
    return ok ? std::nullopt : std::optional<std::string>(expected(type, value));
  };
  if (value.is_null()) return unless(kinds & kNull);
  if (value.boolean()) return unless(kinds & kBoolean);
  if (value.text()) return (kinds & kText) ? misfit_text(type, value) : unless(false);
  if (value.object()) return unless(false);
  if (value.list() == nullptr) return misfit_number(type, kinds, value);
  if (!(kinds & kList)) return unless(false);
  for (Value& element : std::get<List>(value.data))
    if (auto text = misfit_kinds(type, type.elements, element)) return text;
  return std::nullopt;
}

}  // namespace

std::optional<std::string> misfit(const Type& type, Value& value) {
  if (value.is_auto() && type.automatic != Auto::no) return std::nullopt;
  return misfit_kinds(type, type.kinds, value);
}

}  // namespace trireme::deck
