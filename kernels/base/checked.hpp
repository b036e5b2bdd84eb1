#pragma once
// Checked arithmetic for every split, product of sizes and narrowing.

#include "kernels/base/error.hpp"

#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>

namespace trireme {

/// a / b when b divides a; otherwise a usage error that names both: "heads (25) do not divide by
/// tensor (2)".
inline std::int64_t divide_exactly(std::int64_t a, std::int64_t b, std::string_view what,
                                   std::string_view by) {
  check(b > 0 && a % b == 0, Exit::kUsage, "{} ({}) does not divide by {} ({})", what, a, by, b);
  return a / b;
}

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t multiple) {
  return divide_up(a, multiple) * multiple;
}

inline std::int64_t checked_multiply(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  check(!__builtin_mul_overflow(a, b, &product), Exit::kUsage,
        "the product {} x {} exceeds 64 bits: a size in the deck is too large", a, b);
  return product;
}

/// Conversion between integer types that must keep the value.
template <std::integral To, std::integral From>
To narrow(From value) {
  check(std::in_range<To>(value), Exit::kUnexpected, "the value {} does not fit its {}-bit type",
        value, 8 * sizeof(To));
  return static_cast<To>(value);
}

/// Half-open range [begin, end) of part `index` when `total` items are dealt to `parts` as evenly
/// as possible, the first parts taking the remainder.
struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  constexpr std::int64_t size() const { return end - begin; }
  friend bool operator==(const Range&, const Range&) = default;
};
/// What two ranges have in common; empty where they are apart.
constexpr Range overlap(const Range& a, const Range& b) {
  const Range both{a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
  return both.size() > 0 ? both : Range{};
}
constexpr Range split_evenly(std::int64_t total, std::int64_t parts, std::int64_t index) {
  const std::int64_t base = total / parts;
  const std::int64_t extra = total % parts;
  const std::int64_t begin = index * base + (index < extra ? index : extra);
  return {begin, begin + base + (index < extra ? 1 : 0)};
}

}  // namespace trireme
