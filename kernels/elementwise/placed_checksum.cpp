#include "kernels/elementwise/placed_checksum.hpp"

#include "kernels/base/parallel.hpp"

#include <algorithm>
#include <bit>

namespace trireme::kernels {
namespace {

constexpr std::int64_t kElements = 16384;  // a chunk's

/// Every input bit reaches every output bit.
inline std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/// Elements that follow each other in memory and in the whole.
std::uint64_t sum_of_run(const float* __restrict values, std::int64_t count, std::uint64_t first) {
  std::uint64_t sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t place = first + static_cast<std::uint64_t>(i);
    sum += mix((place << 32) ^ (place >> 32) ^ std::bit_cast<std::uint32_t>(values[i]) ^
               0x9e3779b97f4a7c15ull);
  }
  return sum;
}

}  // namespace

std::uint64_t placed_checksum(const PlacedRows& part) {
  // Whole rows follow each other in the whole as well: one long row.
  const std::int64_t elements = part.rows * part.columns;
  const std::int64_t columns = part.columns == part.width ? elements : part.columns;
  const auto sum = [&](std::int64_t begin, std::int64_t end) {
    std::uint64_t total = 0;
    while (begin < end) {
      const std::int64_t row = begin / columns;
      const std::int64_t column = begin % columns;
      const std::int64_t count = std::min(columns - column, end - begin);
      total += sum_of_run(part.values + begin, count,
                          static_cast<std::uint64_t>(part.first + row * part.width + column));
      begin += count;
    }
    return total;
  };
  return sum_chunks<std::uint64_t>("placed_checksum", elements, kElements, sum);
}

}  // namespace trireme::kernels
