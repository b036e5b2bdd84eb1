// A sum of squares must not know how its buffer was divided: same bits for any parts, order,
// grouping, threads and ranks, and the right value.

#include "kernels/elementwise/exact_sum.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "validation/unit/kernels/every_way.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace trireme::kernels {
namespace {

using Limbs = std::vector<double>;
using Floats = std::vector<float>;

const auto* const kRuntime = validation::with_runtime_and_device(4);

Limbs none() { return Limbs(kExactLimbs, 0.0); }

/// The contract in the test's space.
void add_squares(std::span<const float> x, std::int64_t first, Limbs& limbs) {
  const validation::SpaceVector<float> placed(Floats(x.begin(), x.end()));
  const validation::SpaceVector<double> sum(limbs);
  add_exact_squares(placed.span(), first, sum.span(), validation::test_space());
  limbs = sum.values();
}

std::span<const float> part_of(const Floats& x, std::int64_t begin, std::int64_t end) {
  return std::span(x).subspan(static_cast<std::size_t>(begin),
                              static_cast<std::size_t>(end - begin));
}

Limbs limbs_of(const Floats& x, std::int64_t begin, std::int64_t end) {
  Limbs limbs = none();
  add_squares(part_of(x, begin, end), begin, limbs);
  return limbs;
}
Limbs limbs_of(const Floats& x) { return limbs_of(x, 0, std::ssize(x)); }

/// Any bit pattern of a finite f32, so that squares spread over 2^-298 .. 2^256; or, narrow, like
/// gradients: within a few powers of two, where sums of all blocks interact.
Floats random_floats(std::int64_t n, unsigned seed, bool narrow) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1e-3f);
  Floats x(static_cast<std::size_t>(n));
  for (float& value : x) {
    value = narrow ? normal(random) : std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (!std::isfinite(value)) value = 0;
  }
  return x;
}

constexpr std::int64_t kCounts[] = {0, 1, 15, 255, 256, 257, 5000, 256 * 300 + 17, 400'001};

/// Increasing places in [0, n], 0 and n among them.
std::vector<std::int64_t> random_cuts(std::int64_t n, int cuts, bool at_blocks,
                                      std::mt19937& random) {
  std::vector<std::int64_t> at{0, n};
  for (int i = 0; i < cuts; ++i) {
    const auto place = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n + 1));
    at.push_back(at_blocks ? place / kNormBlock * kNormBlock : place);
  }
  std::ranges::sort(at);
  return at;
}

bool same_bits(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

TEST(ExactSum, PartsInAnyOrderAndGroupingGiveTheBitsOfTheWhole) {
  std::mt19937 random(1);
  for (const std::int64_t n : kCounts)
    for (const bool narrow : {false, true}) {
      const Floats x = random_floats(n, static_cast<unsigned>(n), narrow);
      const Limbs whole = limbs_of(x);
      for (const int cuts : {1, 3, 40}) {
        const auto at = random_cuts(n, cuts, true, random);
        std::vector<std::size_t> order(at.size() - 1);
        std::iota(order.begin(), order.end(), 0);
        std::ranges::shuffle(order, random);
        Limbs running = none();  // into one sum, as a rank does with its blocks
        Limbs added = none();    // sums of sums, as ranks do
        for (const std::size_t i : order) {
          add_squares(part_of(x, at[i], at[i + 1]), at[i], running);
          const Limbs own = limbs_of(x, at[i], at[i + 1]);
          for (std::size_t k = 0; k < own.size(); ++k) added[k] += own[k];
        }
        EXPECT_EQ(running, whole) << n;
        EXPECT_TRUE(same_bits(exact_total(added), exact_total(whole))) << n;
        // A later call brings even uncarried limbs into the one form.
        add_squares({}, 0, added);
        EXPECT_EQ(added, whole) << n;
      }
    }
}

TEST(ExactSum, CutsInsideABlockChangeBits) {
  // The fault: such parts round on their own. The value stays.
  std::mt19937 random(2);
  int limbs_changed = 0;
  int totals_changed = 0;
  for (int i = 0; i < 50; ++i) {
    const Floats x = random_floats(700, 3 + static_cast<unsigned>(i), true);
    const Limbs whole = limbs_of(x);
    const auto at = random_cuts(std::ssize(x), 4, false, random);
    Limbs running = none();
    for (std::size_t p = 0; p + 1 < at.size(); ++p)
      add_squares(part_of(x, at[p], at[p + 1]), at[p], running);
    limbs_changed += running != whole;
    totals_changed += !same_bits(exact_total(running), exact_total(whole));
    EXPECT_NEAR(exact_total(running), exact_total(whole), 0x1p-48 * exact_total(whole));
  }
  EXPECT_GT(limbs_changed, 40);
  EXPECT_GT(totals_changed, 5);
}

TEST(ExactSum, PlaceInTheBufferFixesTheBlocks) {
  const Floats x = random_floats(10'000, 4, true);
  Limbs shifted = none();
  add_squares(x, 100, shifted);
  EXPECT_NE(shifted, limbs_of(x));  // other blocks
  // Zeros before and behind are as good as nothing.
  Floats padded(2 * kNormBlock, 0.0f);
  padded.insert(padded.end(), x.begin(), x.end());
  padded.resize(padded.size() + 1000, 0.0f);
  EXPECT_EQ(limbs_of(padded), limbs_of(x));
}

TEST(ExactSum, EveryDeviceHasTheBitsOfTheHost) {
  const Floats x = random_floats(5000, 7, true);
  for (const std::int64_t first : {0, 1, 4, 255, 256, 1030})  // rows off 16 bytes among them
    for (const std::int64_t end : {first + 3, std::int64_t{2049}, std::ssize(x)}) {
      const auto part = part_of(x, first, end);
      Limbs host = none(), here = none();
      add_exact_squares(part, first, host, MemorySpace::host);
      add_squares(part, first, here);
      EXPECT_EQ(here, host) << first << " to " << end;
    }
}

TEST(ExactSum, SameBitsForAnyThreads) {
  const Floats x = random_floats(1'000'003, 5, false);
  validation::in_every_way([&] {
    Limbs limbs = none();
    add_squares(x, 77, limbs);
    return limbs;
  });
}

/// By blocks, in long double: 2^-64 each.
long double reference_total(const Floats& x) {
  long double total = 0;
  for (const float value : x) total += static_cast<long double>(value) * value;
  return total;
}

TEST(ExactSum, IsTheSum) {
  for (const std::int64_t n : kCounts)
    for (const bool narrow : {false, true}) {
      const Floats x = random_floats(n, static_cast<unsigned>(n + 1), narrow);
      const auto want = static_cast<double>(reference_total(x));
      EXPECT_NEAR(exact_total(limbs_of(x)), want, 0x1p-49 * want) << n;
      double plain = 0;
      if (n > 0) plain = sum_of_squares(TensorView::of(const_cast<float*>(x.data()), {n}));
      EXPECT_NEAR(exact_total(limbs_of(x)), plain, 0x1p-45 * plain) << n;
    }
}

// More elements than a GPU's blocks take in one round.
TEST(ExactSum, LargeRangesMissNothing) {
  const Floats x = random_floats(2'200'003, 5, true);
  const auto want = static_cast<double>(reference_total(x));
  const Limbs whole = limbs_of(x);
  EXPECT_NEAR(exact_total(whole), want, 0x1p-49 * want);
  Limbs parts = none();
  add_squares(part_of(x, 0, 256 * 8000), 0, parts);
  add_squares(part_of(x, 256 * 8000, std::ssize(x)), 256 * 8000, parts);
  EXPECT_EQ(parts, whole);
}

TEST(ExactSum, OneBlockOfEachMagnitudeIsExact) {
  // 2^(2 e), the smallest f32 to the largest power of two: alone, and beside all others.
  Limbs all = none();
  long double sum = 0;
  for (int e = -149; e <= 127; ++e) {
    const Floats x{std::ldexp(1.0f, e)};
    Limbs one = none();
    add_squares(x, 0, one);
    EXPECT_EQ(exact_total(one), std::ldexp(1.0, 2 * e));
    add_squares(x, 0, all);
    sum += std::ldexp(1.0L, 2 * e);
  }
  EXPECT_EQ(exact_total(all), static_cast<double>(sum));
  // All bits of every term are there: 1, 0, 1, 0, ... from 2^-298 to 2^254.
  for (int k = 0; k < kExactLimbs; ++k) {
    const double digit = std::ldexp(all[static_cast<std::size_t>(k)], 298 - 32 * k);
    EXPECT_EQ(digit, k < 17 ? 0x55555555p0 : k == 17 ? 0x155p0 : 0.0) << k;
  }
}

TEST(ExactSum, TheTotalIsRoundedOnceToNearestEven) {
  // a^2 + b^2 + 2^-298, where a^2 + b^2 lies half between two f64.
  const float one = 1;
  const float half_ulp = std::ldexp(1.0f, -27);  // its square is 2^-54
  Limbs tie = none();
  add_squares(Floats{one}, 0, tie);
  add_squares(Floats{half_ulp}, 0, tie);
  add_squares(Floats{half_ulp}, 0, tie);
  EXPECT_EQ(exact_total(tie), 1.0);  // 1 + 2^-53: to even
  Limbs above = tie;
  add_squares(Floats{std::numeric_limits<float>::denorm_min()}, 0, above);
  EXPECT_EQ(exact_total(above), 1.0 + 0x1p-52);
  Limbs odd = tie;
  for (int i = 0; i < 4; ++i) add_squares(Floats{half_ulp}, 0, odd);
  EXPECT_EQ(exact_total(odd), 1.0 + 0x1p-51);  // 1 + 3 2^-53: to even, upwards
}

TEST(ExactSum, HugeCountsOfHugeValuesCarry) {
  const Floats x(4096, std::numeric_limits<float>::max());
  const Limbs once = limbs_of(x);
  Limbs ranks(once);  // 2^20 ranks add limbs near their largest
  for (double& limb : ranks) limb *= 0x1p20;
  const double one_rank = exact_total(once);
  EXPECT_TRUE(std::isfinite(one_rank));
  EXPECT_EQ(exact_total(ranks), 0x1p20 * one_rank);
  Limbs full = none();
  for (int k = 0; k < kExactLimbs - 1; ++k)
    full[static_cast<std::size_t>(k)] = std::ldexp(0x1p20 * 0xffffffffp0, 32 * k - 298);
  Limbs carried = full;
  add_squares({}, 0, carried);
  EXPECT_EQ(exact_total(carried), exact_total(full));
}

TEST(ExactSum, WhatIsNotFiniteStaysSo) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {kInfinity, -kInfinity, kNan, -kNan})
    for (const std::size_t place : {std::size_t{0}, std::size_t{300}, std::size_t{99'999}}) {
      Floats x = random_floats(100'000, 6, true);
      x[place] = bad;
      Limbs limbs = limbs_of(x);
      const auto as_expected = [&](double total) {
        return std::isnan(bad) ? std::isnan(total)
                               : total == std::numeric_limits<double>::infinity();
      };
      EXPECT_TRUE(as_expected(exact_total(limbs)));
      const Limbs others = limbs_of(random_floats(5000, 7, true));
      for (std::size_t k = 0; k < limbs.size(); ++k) limbs[k] += others[k];
      EXPECT_TRUE(as_expected(exact_total(limbs)));
      add_squares(Floats{1, 2}, 0, limbs);
      EXPECT_TRUE(as_expected(exact_total(limbs)));
    }
  Limbs both = limbs_of(Floats{kInfinity});
  add_squares(Floats{kNan}, 0, both);
  EXPECT_TRUE(std::isnan(exact_total(both)));
}

TEST(ExactSum, WhatIsNoSumIsABugReport) {
  Limbs limbs = none();
  EXPECT_EQ(exact_total(limbs), 0.0);
  limbs[10] = std::ldexp(0.5, 32 * 10 - 298);
  EXPECT_THROW(exact_total(limbs), Error);
  limbs[10] = -limbs[10];
  EXPECT_THROW(add_exact_squares({}, 0, limbs), Error);
  EXPECT_THROW(exact_total(Limbs(kExactLimbs - 1, 0.0)), Error);
  EXPECT_THROW(add_exact_squares({}, -1, limbs), Error);
}

}  // namespace
}  // namespace trireme::kernels
