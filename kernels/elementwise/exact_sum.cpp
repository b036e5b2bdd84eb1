#include "kernels/elementwise/exact_sum.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/wide_sum.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace trireme::kernels {
namespace {

double limb_unit(int k) { return std::ldexp(1.0, kDigitBits * k + kLeastExponent); }

/// A sum of non-negative numbers as an integer of 2^-298, in digits of 32 bits with room for
/// carries; whatever is not finite is kept beside it.
struct WideSum {
  std::array<std::uint64_t, kExactLimbs> digits{};
  double not_finite = 0;  ///< infinity, NaN or 0

  void add(double value);
  void carry();
  WideSum& operator+=(const WideSum& other);
};

/// At most 2^32 times between carries.
void WideSum::add(double value) {
  const WideDigits wide = wide_digits(value);
  if (!wide.finite) not_finite += value;
  for (std::size_t k = 0; k < 3; ++k)
    digits[static_cast<std::size_t>(wide.at) + k] += wide.digit[k];
}

void WideSum::carry() {
  std::uint64_t over = 0;
  for (std::uint64_t& digit : digits) {
    digit += over;
    over = digit >> kDigitBits;
    digit &= kDigitMask;
  }
}

WideSum& WideSum::operator+=(const WideSum& other) {
  for (std::size_t k = 0; k < digits.size(); ++k) digits[k] += other.digits[k];
  not_finite += other.not_finite;
  return *this;
}

/// x [kNormBlock], in 16 interleaved partial sums joined by a tree. The products of two f32 are
/// exact in f64.
double block_sum(const float* __restrict x) {
  constexpr int kLanes = 16;
  double sum[kLanes] = {};
  for (std::int64_t i = 0; i < kNormBlock; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      sum[lane] += value * value;
    }
  }
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
  return sum[0];
}

/// Elements [begin, end) of one block; the others count as zeros.
double part_of_block_sum(const float* x, std::int64_t begin, std::int64_t end) {
  alignas(64) float whole[kNormBlock] = {};
  std::memcpy(whole + begin, x, static_cast<std::size_t>(end - begin) * sizeof(float));
  return block_sum(whole);
}

/// Squares of the elements [begin, end) of a larger buffer; x is element begin.
WideSum wide_sum(const float* x, std::int64_t begin, std::int64_t end) {
  WideSum sum;
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t block = at / kNormBlock * kNormBlock;
    const std::int64_t stop = std::min(block + kNormBlock, end);
    const float* here = x + (at - begin);
    sum.add(stop - at == kNormBlock ? block_sum(here)
                                    : part_of_block_sum(here, at - block, stop - block));
    at = stop;
  }
  sum.carry();
  return sum;
}

WideSum wide_sum_of_limbs(std::span<const double> limbs) {
  check(limbs.size() == kExactLimbs, Exit::kUnexpected, "expected {} limbs of a sum, found {}",
        kExactLimbs, limbs.size());
  WideSum sum;
  // What is not finite lies in the last limb.
  if (!std::isfinite(limbs.back())) sum.not_finite = limbs.back();
  for (int k = 0; k < kExactLimbs; ++k) {
    const auto i = static_cast<std::size_t>(k);
    if (sum.not_finite != 0 && i + 1 == limbs.size()) break;
    const double digit = limbs[i] / limb_unit(k);
    check(digit >= 0 && digit <= 0x1p53 && digit == std::floor(digit), Exit::kUnexpected,
          "limb {} of a sum of squares is {}: no multiple of its unit, or too many were added", k,
          limbs[i]);
    sum.digits[i] = static_cast<std::uint64_t>(digit);
  }
  sum.carry();
  return sum;
}

}  // namespace

void add_exact_squares(std::span<const float> x, std::int64_t first, std::span<double> limbs,
                       MemorySpace space) {
  check(first >= 0, Exit::kUnexpected, "expected a place in a buffer, found {}", first);
  if (space == MemorySpace::device) {
    check(limbs.size() == kExactLimbs, Exit::kUnexpected, "expected {} limbs of a sum, found {}",
          kExactLimbs, limbs.size());
    return device_kernels().add_exact_squares(x, first, limbs, space);
  }
  WideSum sum = wide_sum_of_limbs(limbs);
  // Chunks follow blocks; few enough that their sums take little memory.
  constexpr std::int64_t kSmallestChunk = 256 * kNormBlock;
  constexpr std::int64_t kMostChunks = 64;
  const std::int64_t lead = first % kNormBlock;
  const std::int64_t total = lead + std::ssize(x);
  const std::int64_t chunk =
      std::max(kSmallestChunk, round_up(divide_up(total, kMostChunks), kNormBlock));
  sum += sum_chunks<WideSum>(
      "add_exact_squares", total, chunk, [&](std::int64_t begin, std::int64_t end) {
        begin = std::max(begin, lead);  // both count from the start of the first element's block
        return wide_sum(x.data() + (begin - lead), begin, end);
      });
  sum.carry();
  for (int k = 0; k < kExactLimbs; ++k) {
    const auto i = static_cast<std::size_t>(k);
    limbs[i] = static_cast<double>(sum.digits[i]) * limb_unit(k);
  }
  if (sum.not_finite != 0) limbs.back() = sum.not_finite;
}

double exact_total(std::span<const double> limbs) {
  const WideSum sum = wide_sum_of_limbs(limbs);
  if (sum.not_finite != 0) return sum.not_finite;
  int top = kExactLimbs - 1;
  while (top > 0 && sum.digits[static_cast<std::size_t>(top)] == 0) --top;
  // The 96 bits from the top digit down as 64 with the highest set, everything below in a sticky
  // lowest bit; the conversion then rounds the whole sum to nearest, ties to even.
  const auto digit = [&](int k) { return k < 0 ? 0ull : sum.digits[static_cast<std::size_t>(k)]; };
  if (digit(top) == 0) return 0;
  const int zeros = std::countl_zero(digit(top)) - kDigitBits;
  std::uint64_t window = (digit(top) << kDigitBits | digit(top - 1)) << zeros;
  if (zeros > 0) window |= digit(top - 2) >> (kDigitBits - zeros);
  bool sticky = (digit(top - 2) & ((1ull << (kDigitBits - zeros)) - 1)) != 0;
  for (int k = 0; k < top - 2; ++k) sticky |= digit(k) != 0;
  window |= sticky ? 1 : 0;
  return std::ldexp(static_cast<double>(window), kDigitBits * (top - 1) - zeros + kLeastExponent);
}

}  // namespace trireme::kernels
