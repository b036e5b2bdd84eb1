// Products of strips and panels against float64 loops: every instruction set this CPU has, number
// of rows, layout, width and depth; sums that do not depend on the strip; and that a lost unit of
// depth is seen.

#include "kernels/gemm/strip.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/gemm/panels.hpp"
#include "validation/harness/reference_math.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace trireme::kernels {
namespace {

using validation::reference_gemm;
using validation::relative_error;
using validation::TestTensor;
using Values = std::vector<double>;

struct Way {
  const StripKernels* strip;
  DType operand;
};

std::vector<Way> every_way() {
  std::vector<Way> ways{{&strip_kernels_avx2(), DType::f32}};
  if (strip_kernels(DType::f32) == &strip_kernels_avx512())
    ways.push_back({&strip_kernels_avx512(), DType::f32});
  if (strip_kernels(DType::bf16)) ways.push_back({strip_kernels(DType::bf16), DType::bf16});
  return ways;
}

struct alignas(64) Line {
  std::uint32_t units[16];
};

/// c[rows, columns] += a b with a by rows or, transposed, by columns; c is 1 before.
Values product(const Way& way, const TestTensor& a, const TestTensor& b, std::int64_t rows,
               std::int64_t columns, std::int64_t depth, bool by_columns, bool transposed_b) {
  const StripKernels& strip = *way.strip;
  const std::int64_t units = units_of(depth, strip.pair);
  std::vector<Line> left(
      static_cast<std::size_t>((by_columns ? units : strip.rows) * kStripStride / 16 + 1));
  std::vector<Line> panel(static_cast<std::size_t>(units * strip.columns / 16));
  std::vector<float> c(static_cast<std::size_t>(rows * (columns + 3)), 1.0f);
  with_storage_type(way.operand, "operand", [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, Float16>) {
      const T* from = a.view().as<T>();
      if (by_columns)
        pack_panels(from, a.view().stride(), false, depth, rows, kStripStride, left[0].units);
      else
        pack_rows(from, a.view().stride(), depth, rows, left[0].units);
      pack_panels(b.view().as<T>(), b.view().stride(), transposed_b, depth, columns, strip.columns,
                  panel[0].units);
    }
  });
  strip.multiply({.a = left[0].units,
                  .a_step = kStripStride,
                  .by_columns = by_columns,
                  .rows = rows,
                  .depth = units,
                  .panel = panel[0].units,
                  .c = c.data(),
                  .c_stride = columns + 3,
                  .columns = columns,
                  .accumulate = true});
  Values result;
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* row = c.data() + r * (columns + 3);
    result.insert(result.end(), row, row + columns);
    for (std::int64_t gap = columns; gap < columns + 3; ++gap) EXPECT_EQ(row[gap], 1.0f);
  }
  return result;
}

TEST(Strip, AgreesWithTheReference) {
  for (const Way& way : every_way())
    for (std::int64_t rows = 1; rows <= way.strip->rows; ++rows)
      for (const std::int64_t columns : {way.strip->columns, way.strip->columns - 5})
        for (const std::int64_t depth : {1, 7, 64})
          for (const bool by_columns : {false, true})
            for (const bool transposed : {false, true}) {
              const auto a = TestTensor::random(
                  by_columns ? Shape{depth, rows} : Shape{rows, depth}, way.operand, 1);
              const auto b = TestTensor::random(
                  transposed ? Shape{columns, depth} : Shape{depth, columns}, way.operand, 2);
              Values want = reference_gemm(a.values(), b.values(), rows, columns, depth, by_columns,
                                           transposed);
              for (double& x : want) x += 1;
              const Values got = product(way, a, b, rows, columns, depth, by_columns, transposed);
              ASSERT_LT(relative_error(got, want), 1e-6) << rows << " rows, depth " << depth;
            }
}

TEST(Strip, SumsDoNotDependOnTheStrip) {
  for (const Way& way : every_way()) {
    const auto a = TestTensor::random({way.strip->rows, 96}, way.operand, 1);
    const auto b = TestTensor::random({96, way.strip->columns}, way.operand, 2);
    const auto run = [&](std::int64_t rows) {
      return product(way, a, b, rows, way.strip->columns, 96, false, false);
    };
    const Values all = run(way.strip->rows);
    for (std::int64_t rows = 1; rows < way.strip->rows; ++rows) {
      const Values some = run(rows);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
    }
  }
}

TEST(Strip, TheCheckSeesALostUnit) {
  for (const Way& way : every_way()) {
    const auto a = TestTensor::random({4, 64}, way.operand, 1);
    const auto b = TestTensor::random({64, 16}, way.operand, 2);
    Values want = reference_gemm(a.values(), b.values(), 4, 16, 64);
    for (double& x : want) x += 1;
    const std::int64_t less = 64 - way.strip->pair;
    EXPECT_GT(relative_error(product(way, a, b, 4, 16, less, false, false), want), 1e-4);
  }
}

}  // namespace
}  // namespace trireme::kernels
