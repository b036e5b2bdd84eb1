// Embedding lookups on shards add up to the whole table's; the scatter is its transpose; positions
// and dropout are pure functions of the place in the sample.

#include "kernels/embedding/embedding.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/unit/kernels/every_way.hpp"

#include <cmath>

namespace trireme::kernels {
namespace {

using validation::in_every_way;
using validation::kFloatTypes;
using validation::relative_error;
using validation::rounding;
using validation::TestTensor;
using Values = std::vector<double>;

const auto* const kRuntime = validation::with_runtime_and_device(4);
constexpr std::int64_t kRows = 11, kWidth = 70, kTokens = 30;
using Ids = validation::TestIds;

/// Ids with many repetitions.
Ids some_ids() {
  std::vector<std::int32_t> ids(kTokens);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * i % kRows);
  return ids;
}

TEST(Embedding, ShardsAddUpToTheTable) {
  const Ids ids = some_ids();
  for (const DType dtype : kFloatTypes) {
    const auto table = TestTensor::random({kRows, kWidth}, dtype, 1, 1, kWidth + 3);
    const Values whole = in_every_way([&] {
      const TestTensor out({kTokens, kWidth}, dtype, kWidth + 1);
      embedding_forward(ids.view(), table.view(), 0, out.view());
      EXPECT_TRUE(out.gaps_intact());
      return out.values();
    });
    const Values rows = table.values();
    for (std::size_t t = 0; t < kTokens; ++t)
      for (std::size_t c = 0; c < kWidth; ++c)
        ASSERT_EQ(whole[t * kWidth + c], rows[static_cast<std::size_t>(ids[t]) * kWidth + c]);
    Values sum(whole.size());
    for (const Range shard : {Range{0, 4}, Range{4, 5}, Range{5, kRows}}) {
      const TestTensor part({kTokens, kWidth}, dtype);
      embedding_forward(ids.view(), table.view().row_slice(shard.begin, shard.size()), shard.begin,
                        part.view());
      const Values values = part.values();
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
    }
    EXPECT_EQ(sum, whole);
  }
}

TEST(Embedding, BackwardAddsTokensInOrder) {
  const Ids ids = some_ids();
  for (const DType dtype : kFloatTypes) {
    const auto d_out = TestTensor::random({kTokens, kWidth}, dtype, 2, 1, kWidth + 2);
    const std::int64_t first = 3, rows = 6;
    const Values d = d_out.values();
    Values want(rows * kWidth), faulty = want;
    for (std::size_t t = 0; t < kTokens; ++t) {
      const std::int64_t row = ids[t] - first;
      if (row < 0 || row >= rows) continue;
      for (std::size_t c = 0; c < kWidth; ++c) {
        const std::size_t at = static_cast<std::size_t>(row) * kWidth + c;
        want[at] += d[t * kWidth + c];
        faulty[at] = d[t * kWidth + c];  // the fault: the last token wins
      }
    }
    const auto backward = [&](bool accumulate) {
      const auto d_table = TestTensor::random({rows, kWidth}, DType::f32, 9);
      embedding_backward(ids.view(), d_out.view(), first, d_table.view(), accumulate);
      return d_table.values();
    };
    const Values got = in_every_way([&] { return backward(false); });
    EXPECT_LT(relative_error(got, want), rounding(DType::f32));
    EXPECT_GT(relative_error(faulty, want), 0.1);
    const auto before = TestTensor::random({rows, kWidth}, DType::f32, 9).values();
    Values more = want;
    for (std::size_t i = 0; i < more.size(); ++i) more[i] += before[i];
    EXPECT_LT(relative_error(backward(true), more), rounding(DType::f32));
  }
}

/// More tokens than a GPU's warp looks at in one round, ids that begin off 16 bytes among them; one
/// f32 sum a row has one order, so that a token out of turn changes bits.
TEST(Embedding, BackwardTakesLongSequencesInOrder) {
  constexpr std::int64_t kMany = 1030, kFew = 3, kNarrow = 24;
  std::vector<std::int32_t> all(kMany);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int32_t>(i * i % 5);
  const Ids ids(all);
  const auto d_out = TestTensor::random({kMany, kNarrow}, DType::f32, 2);
  const Values d = d_out.values();
  for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1}}) {
    const TestTensor d_table({kFew, kNarrow}, DType::f32);
    embedding_backward(ids.view().column_slice(first, kMany - first),
                       d_out.view().row_slice(first, kMany - first), 1, d_table.view(), false);
    std::vector<float> want(kFew * kNarrow), turned = want;
    for (auto t = static_cast<std::size_t>(first); t < all.size(); ++t)
      for (std::size_t c = 0; c < kNarrow; ++c) {
        const std::size_t back = all.size() - 1 - t + static_cast<std::size_t>(first);
        const auto add = [&](std::vector<float>& sums, std::size_t token) {
          const std::int32_t row = all[token] - 1;
          if (row >= 0 && row < kFew)
            sums[static_cast<std::size_t>(row) * kNarrow + c] +=
                static_cast<float>(d[token * kNarrow + c]);
        };
        add(want, t);
        add(turned, back);
      }
    EXPECT_EQ(d_table.values(), Values(want.begin(), want.end()));
    EXPECT_NE(turned, want);  // the fault
  }
}

RowDropout some_dropout() {
  RowDropout dropout;
  dropout.key = {.seed = 5, .step = 2, .layer_place = 8, .probability = 0.4f, .first_sample = 6};
  dropout.positions = kTokens / 2;
  return dropout;
}

TEST(Embedding, PositionsAndDropout) {
  std::vector<std::int32_t> in_turn(kTokens);
  for (std::size_t i = 0; i < in_turn.size(); ++i)
    in_turn[i] = static_cast<std::int32_t>(i % (kTokens / 2));
  const Ids positions = in_turn;
  const RowDropout dropout = some_dropout();
  for (const DType dtype : kFloatTypes) {
    const auto x = TestTensor::random({kTokens, kWidth}, dtype, 1);
    const auto table = TestTensor::random({kTokens / 2, kWidth}, dtype, 2);
    Values want = x.values();
    const Values position = table.values();
    for (std::size_t i = 0; i < want.size(); ++i) {
      const std::size_t token = i / kWidth, in_sample = i % (want.size() / 2);
      const DropoutStream mask(dropout.key, static_cast<std::int64_t>(token) / dropout.positions);
      want[i] += position[in_sample];
      want[i] *= mask.keep(static_cast<std::int64_t>(in_sample)) ? 1 / 0.6 : 0;
    }
    const Values got = in_every_way([&] {
      TestTensor out = x;
      add_positions(out.view(), positions.view(), table.view(), dropout, out.view());
      return out.values();
    });
    EXPECT_LT(relative_error(got, want), rounding(dtype));
  }
  const auto x = TestTensor::random({kTokens, kWidth}, DType::f32, 1);
  const auto small = TestTensor::random({3, kWidth}, DType::f32, 2);
  if (validation::test_space() == MemorySpace::host) {
    EXPECT_THROW(add_positions(x.view(), positions.view(), small.view(), dropout, x.view()), Error);
  } else {  // a device can't say so without waiting: rows of positions outside become NaN
    add_positions(x.view(), positions.view(), small.view(), {}, x.view());
    const Values rows = x.values();
    for (std::size_t i = 0; i < rows.size(); ++i)
      EXPECT_EQ(std::isnan(rows[i]), positions[i / kWidth] >= 3);
  }
}

TEST(Dropout, ShardsOfRowsAndColumnsDrawTheSameMask) {
  const RowDropout whole = some_dropout();
  const TestTensor x = TestTensor::random({kTokens, kWidth}, DType::f32, 1);
  const TestTensor y({kTokens, kWidth}, DType::f32);
  apply_dropout(x.view(), whole, y.view());
  const Values all = y.values();
  const auto kept =
      static_cast<double>(std::count_if(all.begin(), all.end(), [](double v) { return v != 0; }));
  EXPECT_NEAR(kept / (kTokens * kWidth), 0.6, 0.05);

  RowDropout columns = whole;  // columns [20, 50) of the whole
  columns.logical_width = kWidth;
  columns.first_column = 20;
  const TestTensor part({kTokens, 30}, DType::f32);
  apply_dropout(x.view().column_slice(20, 30), columns, part.view());
  RowDropout rows = whole;  // positions [5, 9) of sample 1
  rows.key.first_sample += 1;
  rows.positions = 4;
  rows.first_position = 5;
  const TestTensor four({4, kWidth}, DType::f32);
  const std::int64_t first = kTokens / 2 + 5;
  apply_dropout(x.view().row_slice(first, 4), rows, four.view());
  const Values drawn = part.values();
  bool shifted = false;
  for (std::size_t t = 0; t < kTokens; ++t)
    for (std::size_t c = 0; c < 30; ++c) {
      EXPECT_EQ(drawn[t * 30 + c], all[t * kWidth + 20 + c]);
      shifted |= (drawn[t * 30 + c] == 0) != (all[t * kWidth + c] == 0);
    }
  EXPECT_TRUE(shifted);  // the fault: a mask by local column would be the mask of columns [0, 30)
  const auto start = all.begin() + first * kWidth;
  EXPECT_EQ(four.values(), Values(start, start + 4 * kWidth));
}

}  // namespace
}  // namespace trireme::kernels
