// Conversions, views and checked arithmetic.

#include "kernels/base/checked.hpp"
#include "kernels/base/dtype.hpp"
#include "kernels/base/random.hpp"
#include "kernels/base/tensor_view.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace trireme {
namespace {

TEST(BFloat16, RoundsToNearestEvenAndKeepsSpecials) {
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f)), 1.0f);
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f + 0x1p-8f)), 1.0f);                // tie, even below
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f + 3 * 0x1p-8f)), 1.0f + 0x1p-6f);  // tie, even above
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isinf(static_cast<float>(BFloat16(std::numeric_limits<float>::max()))));
}

TEST(Philox, MatchesTheKnownAnswersOfRandom123) {
  const std::array<std::uint32_t, 4> zero{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  EXPECT_EQ(Philox(0)({0, 0, 0, 0}), zero);
  const std::array<std::uint32_t, 4> ones{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  EXPECT_EQ(Philox(~0ull)({~0u, ~0u, ~0u, ~0u}), ones);
}

TEST(TensorView, SlicesRowsAndColumns) {
  std::vector<float> memory(24);
  const auto view = TensorView::of(memory.data(), {2, 3, 4});
  EXPECT_EQ(view.rows(), 6);
  EXPECT_EQ(view.row_slice(2, 2).as<float>(), memory.data() + 8);
  const auto columns = view.column_slice(1, 2);
  EXPECT_EQ(columns.as<float>(), memory.data() + 1);
  EXPECT_EQ(columns.stride(), 4);
  EXPECT_EQ(columns.shape, (Shape{6, 2}));
  EXPECT_THROW(view.as<double>(), Error);
  EXPECT_THROW(view.row_slice(5, 2), Error);
  EXPECT_THROW(columns.reshaped({12}), Error);
}

TEST(Checked, SplitsCoverTheWholeWithoutOverlap) {
  for (std::int64_t total : {0, 1, 7, 64})
    for (std::int64_t parts : {1, 2, 3, 8}) {
      std::int64_t next = 0;
      for (std::int64_t i = 0; i < parts; ++i) {
        const Range r = split_evenly(total, parts, i);
        EXPECT_EQ(r.begin, next);
        EXPECT_LE(r.size() - split_evenly(total, parts, parts - 1).size(), 1);
        next = r.end;
      }
      EXPECT_EQ(next, total);
    }
  EXPECT_THROW(divide_exactly(25, 2, "heads", "tensor"), Error);
  EXPECT_THROW(checked_multiply(std::int64_t{1} << 40, std::int64_t{1} << 40), Error);
  EXPECT_THROW(narrow<std::int32_t>(std::int64_t{1} << 31), Error);
}

TEST(ErrorMessage, NamesRankAndPlace) {
  set_error_rank(3);
  try {
    fail(Exit::kFile, "expected {}, found {}", 1, 2);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 3);
    EXPECT_EQ(error.text(), "expected 1, found 2");
    EXPECT_NE(std::string(error.what()).find("rank 3, validation/unit/base/types_test.cpp:"),
              std::string::npos)
        << error.what();
  }
  set_error_rank(-1);
}

}  // namespace
}  // namespace trireme
