// Cross-entropy over vocabulary shards: loss and gradient against float64 and finite differences,
// any number of ranks and blocks of rows, padding, ignored targets, extreme logits.

#include "kernels/loss/cross_entropy.hpp"

#include "kernels/base/checked.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/unit/kernels/every_way.hpp"

#include <cmath>
#include <limits>

namespace trireme::kernels {
namespace {

using validation::in_every_way;
using validation::kFloatTypes;
using validation::relative_error;
using validation::rounding;
using validation::TestTensor;
using Values = std::vector<double>;
using Ids = validation::TestIds;

const auto* const kRuntime = validation::with_runtime_and_device(4);

struct Case {
  std::int64_t tokens, vocabulary, ranks;
};
constexpr Case kCases[] = {{1, 1, 1}, {7, 50, 1}, {9, 50, 3}, {5, 4999, 2}, {3, 5, 4}};

Ids some_targets(const Case& c) {
  std::vector<std::int32_t> targets(static_cast<std::size_t>(c.tokens));
  for (std::size_t t = 0; t < targets.size(); ++t)
    targets[t] = t % 4 == 2
                     ? kIgnoredTarget
                     : static_cast<std::int32_t>(static_cast<std::int64_t>(t * 37) % c.vocabulary);
  return targets;
}

/// -sum over counted tokens of log softmax(x)[target].
double reference(const Values& x, const Ids& targets, std::size_t vocabulary) {
  double loss = 0;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    if (targets[t] == kIgnoredTarget) continue;
    double sum = 0;
    for (std::size_t i = 0; i < vocabulary; ++i) sum += std::exp(x[t * vocabulary + i]);
    loss += std::log(sum) - x[t * vocabulary + static_cast<std::size_t>(targets[t])];
  }
  return loss;
}

struct Result {
  LossSum sum;
  Values losses;
  Values gradient;  ///< [tokens, vocabulary]
  bool padding_is_zero = true;
};

/// The whole exchange over c.ranks shards of equal padded width, `block` rows at a time.
Result run(const Case& c, const Values& x, const Ids& targets, DType dtype, double scale,
           std::int64_t block) {
  const std::int64_t shard_width = divide_up(c.vocabulary, c.ranks);
  const auto columns_of = [&](std::int64_t rank) {
    const std::int64_t first = rank * shard_width;
    return VocabularyShard{first, std::clamp(c.vocabulary - first, std::int64_t{0}, shard_width)};
  };
  const TestTensor statistics({c.ranks, c.tokens, 3}, DType::f32);
  const TestTensor normalizer({c.tokens, 2}, DType::f32), losses({c.tokens}, DType::f32);
  std::vector<TestTensor> logits;
  for (std::int64_t rank = 0; rank < c.ranks; ++rank) {
    const VocabularyShard shard = columns_of(rank);
    logits.emplace_back(Shape{c.tokens, shard_width}, dtype, shard_width + 3);
    for (std::int64_t t = 0; t < c.tokens; ++t)
      for (std::int64_t i = 0; i < shard_width; ++i)
        // Padding holds what would win every softmax.
        logits.back().set(t, i,
                          i < shard.valid_columns
                              ? x[static_cast<std::size_t>(t * c.vocabulary + shard.first_id + i)]
                              : 60.0);
    for (std::int64_t t = 0; t < c.tokens; t += block) {
      const std::int64_t n = std::min(block, c.tokens - t);
      cross_entropy_statistics(
          logits.back().view().row_slice(t, n),
          targets.view().reshaped({c.tokens, 1}).row_slice(t, n), shard,
          statistics.view().reshaped({c.ranks * c.tokens, 3}).row_slice(rank * c.tokens + t, n));
    }
  }
  Result result;
  result.sum = cross_entropy_combine(statistics.view(), targets.view(), c.vocabulary, losses.view(),
                                     normalizer.view());
  result.losses = losses.values();
  result.gradient.resize(x.size());
  for (std::int64_t rank = 0; rank < c.ranks; ++rank) {
    const TestTensor& mine = logits[static_cast<std::size_t>(rank)];
    const VocabularyShard shard = columns_of(rank);
    for (std::int64_t t = 0; t < c.tokens; t += block) {
      const std::int64_t n = std::min(block, c.tokens - t);
      cross_entropy_gradient(mine.view().row_slice(t, n),
                             targets.view().reshaped({c.tokens, 1}).row_slice(t, n), shard,
                             normalizer.view().row_slice(t, n), static_cast<float>(scale));
    }
    EXPECT_TRUE(mine.gaps_intact());
    const Values d = mine.values();
    for (std::int64_t t = 0; t < c.tokens; ++t)
      for (std::int64_t i = 0; i < shard_width; ++i) {
        const double value = d[static_cast<std::size_t>(t * shard_width + i)];
        if (i < shard.valid_columns)
          result.gradient[static_cast<std::size_t>(t * c.vocabulary + shard.first_id + i)] = value;
        else
          result.padding_is_zero &= value == 0;
      }
  }
  return result;
}

TEST(CrossEntropy, LossAndGradientAgreeWithTheReference) {
  for (const DType dtype : kFloatTypes)
    for (const Case& c : kCases) {
      const Values x = TestTensor::random({c.tokens, c.vocabulary}, dtype, 1, 3).values();
      const Ids targets = some_targets(c);
      const auto vocabulary = static_cast<std::size_t>(c.vocabulary);
      const double scale = 64;
      const double want = reference(x, targets, vocabulary);
      Result result;
      in_every_way([&] {
        result = run(c, x, targets, dtype, scale, c.tokens);
        Values all = result.gradient;
        all.push_back(result.sum.loss);
        return all;
      });
      EXPECT_NEAR(result.sum.loss, want, 1e-6 * (1 + std::fabs(want)));
      EXPECT_EQ(result.sum.tokens,
                c.tokens - std::count(targets.begin(), targets.end(), kIgnoredTarget));
      EXPECT_TRUE(result.padding_is_zero);
      const Values want_gradient = [&] {
        const auto loss = [&](const Values& v) {
          return scale * reference(v, targets, vocabulary);
        };
        if (x.size() <= 512)
          return validation::finite_differences(loss, x, validation::all_elements(x.size()));
        Values d(x.size());  // softmax - onehot where differences would take long
        for (std::size_t t = 0; t < targets.size(); ++t) {
          if (targets[t] == kIgnoredTarget) continue;
          double sum = 0;
          for (std::size_t i = 0; i < vocabulary; ++i) sum += std::exp(x[t * vocabulary + i]);
          for (std::size_t i = 0; i < vocabulary; ++i)
            d[t * vocabulary + i] = scale * (std::exp(x[t * vocabulary + i]) / sum -
                                             (static_cast<std::int32_t>(i) == targets[t] ? 1 : 0));
        }
        return d;
      }();
      double size = 0, error = 0, error_faulty = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double onehot =
            static_cast<std::int32_t>(i % vocabulary) == targets[i / vocabulary] ? scale : 0;
        size += std::pow(scale, 2) / static_cast<double>(vocabulary);
        error += std::pow(result.gradient[i] - want_gradient[i], 2);
        error_faulty += std::pow(onehot, 2);  // the fault: the one-hot term forgotten
      }
      EXPECT_LT(std::sqrt(error / size), rounding(dtype));
      EXPECT_GT(std::sqrt(error_faulty / size), 10 * rounding(dtype));

      const Result blocks = run(c, x, targets, dtype, scale, 2);
      EXPECT_EQ(blocks.losses, result.losses);
      EXPECT_EQ(blocks.gradient, result.gradient);
    }
}

TEST(CrossEntropy, ExtremeLogits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const auto loss_of = [](const std::vector<float>& row, std::int32_t target) {
    const Ids targets({target});
    const auto n = static_cast<std::int64_t>(row.size());
    const validation::SpaceVector<float> logits(row);
    const TestTensor statistics({1, 1, 3}, DType::f32), normalizer({1, 2}, DType::f32);
    cross_entropy_statistics(logits.view({1, n}), targets.view(), {0, n},
                             statistics.view().reshaped({1, 3}));
    return cross_entropy_combine(statistics.view(), targets.view(), n, {}, normalizer.view()).loss;
  };
  EXPECT_NEAR(loss_of({1e30f, 0, -1e30f}, 0), 0, 1e-6);
  EXPECT_NEAR(loss_of({3e4f, 3e4f}, 1), std::log(2), 1e-6);
  EXPECT_EQ(loss_of({0, -kInfinity}, 1), static_cast<double>(kInfinity));
  EXPECT_TRUE(std::isnan(loss_of({0, kInfinity}, 0)));
  EXPECT_TRUE(std::isnan(loss_of({kNaN, 0}, 1)));
  EXPECT_TRUE(std::isnan(loss_of({0, kNaN}, 1)));
  EXPECT_THROW(loss_of({0, 0}, 2), Error);
  EXPECT_THROW(loss_of({0, 0}, -7), Error);
}

TEST(CrossEntropy, TotalsAreTheSumOfTheLosses) {
  const Case c{9, 50, 1};
  const auto logits = TestTensor::random({c.tokens, c.vocabulary}, DType::f32, 3);
  const Ids targets = some_targets(c);
  const double want = reference(logits.values(), targets, 50);
  const TestTensor statistics({1, c.tokens, 3}, DType::f32), normalizer({c.tokens, 2}, DType::f32);
  const auto shared = statistics.view().reshaped({c.tokens, 3});
  cross_entropy_statistics(logits.view(), targets.view(), {0, c.vocabulary}, shared);
  const auto total_of = [&](const Ids& ids, bool accumulate) {
    const validation::SpaceVector<double> total({100});
    cross_entropy_total(statistics.view(), ids.view(), c.vocabulary, normalizer.view(),
                        total.view(), accumulate);
    return total.values()[0];
  };
  EXPECT_NEAR(total_of(targets, false), want, 1e-5 * want);
  EXPECT_NEAR(total_of(targets, true), 100 + want, 1e-5 * want);
  const Ids outside(std::vector<std::int32_t>(9, 50));
  if (validation::test_space() == MemorySpace::host) {
    EXPECT_THROW(total_of(outside, false), Error);
  } else {
    EXPECT_TRUE(std::isnan(total_of(outside, false)));
  }
}

}  // namespace
}  // namespace trireme::kernels
