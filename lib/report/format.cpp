#include "lib/report/format.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace trireme::report {
namespace {

/// Three significant digits of a value below about 1000.
std::string three_digits(double value) {
  const double size = std::abs(value);
  return fmt::format("{:.{}f}", value, size >= 99.95 || size == 0 ? 0 : size >= 9.995 ? 1 : 2);
}

/// "84.2 G": the value over a power of `base`, and the prefix of that power.
std::string with_prefix(double value, double base, const std::array<const char*, 6>& prefixes) {
  std::size_t power = 0;
  while (std::abs(value) >= 0.9995 * base && power + 1 < prefixes.size()) {
    value /= base;
    ++power;
  }
  return three_digits(value) + " " + prefixes[power];
}

constexpr std::array<const char*, 6> kDecimal = {"", "k", "M", "G", "T", "P"};
constexpr std::array<const char*, 6> kBinary = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

}  // namespace

std::string format_count(double value) {
  if (!std::isfinite(value)) return "-";
  std::string text = with_prefix(value, 1000, {"", "k", "M", "B", "T", "Q"});
  if (text.back() == ' ') text.pop_back();
  return text;
}

std::string format_integer(std::int64_t value) {
  std::string digits = fmt::format("{}", value);
  const std::ptrdiff_t sign = value < 0 ? 1 : 0;
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > sign; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return digits;
}

std::string format_speed(double per_second) {
  if (!(std::abs(per_second) < 1e5)) return format_count(per_second);
  return per_second < 100 ? three_digits(per_second) : format_integer(std::llround(per_second));
}

std::string format_bytes(double bytes) {
  if (!std::isfinite(bytes)) return "-";
  if (std::abs(bytes) < 1024) return fmt::format("{:.0f} B", bytes);
  return with_prefix(bytes, 1024, kBinary);
}

std::string format_rate(double per_second, const char* unit) {
  if (!std::isfinite(per_second)) return "-";
  return with_prefix(per_second, 1000, kDecimal) + unit;
}

std::string format_seconds(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  if (seconds == 0) return "0 s";
  if (seconds < 0.9995e-3) return three_digits(seconds * 1e6) + " us";
  if (seconds < 0.9995) return three_digits(seconds * 1e3) + " ms";
  if (seconds < 119.5) return three_digits(seconds) + " s";
  const auto whole = std::llround(seconds);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string format_share(double share) {
  return std::isfinite(share) ? fmt::format("{:.1f} %", 100 * share) : "-";
}

std::string format_number(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-";
}

}  // namespace trireme::report
