// Products against float64 loops: dtypes, transposes, strides, odd sizes, bias, accumulation, every
// number of threads; and that the same check catches what a wrong product does.

#include "kernels/gemm/gemm.hpp"
#include "kernels/base/scratch.hpp"
#include "kernels/gemm/product.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/reference_math.hpp"

#include <cmath>
#include <cstdlib>
#include <string>

namespace trireme::kernels {
namespace {

using validation::reference_gemm;
using validation::relative_error;
using validation::TestTensor;

const auto* const kRuntime = validation::with_runtime_and_device(4);

struct Case {
  std::int64_t m, n, k;
  DType operand;
  DType result;
  GemmOptions options = {};
  std::int64_t gap = 0;  ///< elements between rows beyond the dense ones
};

/// Rounding of the result, plus fp32 sums of k terms in any order.
double tolerance(const Case& c) {
  return epsilon_of(c.result) + 2 * std::sqrt(static_cast<double>(c.k)) * epsilon_of(DType::f32);
}

struct Outcome {
  double error;
  bool gaps_intact;
};

Outcome run(const Case& c) {
  const bool ta = c.options.transpose_a;
  const bool tb = c.options.transpose_b;
  const Shape shape_a = ta ? Shape{c.k, c.m} : Shape{c.m, c.k};
  const Shape shape_b = tb ? Shape{c.n, c.k} : Shape{c.k, c.n};
  const auto a = TestTensor::random(shape_a, c.operand, 1, 1, shape_a[-1] + c.gap);
  const auto b = TestTensor::random(shape_b, c.operand, 2, 1, shape_b[-1] + c.gap);
  const auto old = TestTensor::random({c.m, c.n}, c.result, 3, 1, c.n + c.gap);
  auto result = old;
  const auto bias = c.options.bias ? TestTensor::random({c.n}, c.options.bias.dtype, 4)
                                   : TestTensor({1}, DType::f32);
  GemmOptions options = c.options;  // its bias says the type alone
  if (options.bias) options.bias = bias.view();
  gemm(result.view(), a.view(), b.view(), options);

  auto want = reference_gemm(a.values(), b.values(), c.m, c.n, c.k, ta, tb);
  for (std::size_t i = 0; i < want.size(); ++i) {
    want[i] *= static_cast<double>(options.alpha);
    if (options.bias) want[i] += bias.values()[i % static_cast<std::size_t>(c.n)];
    if (options.accumulate) want[i] += old.values()[i];
  }
  return {relative_error(result.values(), want), result.gaps_intact()};
}

void expect_right(const Case& c) {
  const auto [error, gaps_intact] = run(c);
  EXPECT_LT(error, tolerance(c)) << c.m << " x " << c.n << " x " << c.k << " " << name_of(c.operand)
                                 << " -> " << name_of(c.result);
  EXPECT_TRUE(gaps_intact);
}

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};

TEST(Gemm, AgreesWithTheReference) {
  for (const auto way : validation::ways()) {
    const ExecutionScope scope(way.execution, way.threads);
    for (const DType operand : kTypes)
      for (const DType result : {operand, DType::f32})
        for (const bool ta : {false, true})
          for (const bool tb : {false, true}) {
            const GemmOptions plain{.transpose_a = ta, .transpose_b = tb};
            expect_right({1, 1, 1, operand, result, plain});
            expect_right({33, 17, 5, operand, result, plain, 3});
            expect_right({64, 48, 96, operand, result, plain, 16});
          }
  }
}

TEST(Gemm, AddsBiasAndAccumulates) {
  float anything = 0;
  for (const DType type : kTypes) {
    GemmOptions options{.transpose_b = true};
    options.bias = TensorView(&anything, {1}, type);
    expect_right({31, 70, 40, type, type, options, 2});
    options.bias.dtype = DType::f32;
    expect_right({31, 70, 40, type, type, options, 2});
    expect_right({31, 70, 40, type, DType::f32, {.transpose_a = true, .accumulate = true}, 5});
    expect_right({31, 70, 40, type, type, {.alpha = 0.25f, .accumulate = true}});
  }
}

TEST(Gemm, Tf32RoundsOperandsOnDevicesAlone) {
  const Case c{33, 40, 64, DType::f32, DType::f32, {.transpose_b = true, .tf32 = true}};
  const double error = run(c).error;
  if (validation::test_space() == MemorySpace::host)
    EXPECT_LT(error, tolerance(c));
  else
    EXPECT_LT(error, 0x1p-10);
}

TEST(Gemm, LargeDepthIsSummedInSinglePrecision) {
  // Beyond one tile of the widened path in every dim; 16-bit sums would be wrong by 1e-2.
  for (const DType type : {DType::bf16, DType::f16})
    expect_right({9, 1030, 2100, type, DType::f32, {.transpose_b = true, .accumulate = true}});
}

TEST(Gemm, TheCheckCatchesAWrongProduct) {
  Case c{33, 40, 64, DType::bf16, DType::bf16};
  const auto a = TestTensor::random({33, 64}, c.operand, 1);
  const auto b = TestTensor::random({64, 40}, c.operand, 2);
  const auto want = reference_gemm(a.values(), b.values(), 33, 40, 64);
  auto depth = want;  // the last of 64 terms is missing
  for (std::size_t i = 0; i < depth.size(); ++i)
    depth[i] -= a.values()[i / 40 * 64 + 63] * b.values()[63 * 40 + i % 40];
  EXPECT_GT(relative_error(depth, want), 10 * tolerance(c));
  auto tile = want;  // one 8 x 8 tile is missing
  for (std::size_t i = 8; i < 16; ++i)
    for (std::size_t j = 0; j < 8; ++j) tile[i * 40 + j] = 0;
  EXPECT_GT(relative_error(tile, want), 10 * tolerance(c));
}

TEST(Gemm, SameThreadsSameBits) {
  for (const DType type : kTypes) {
    const auto a = TestTensor::random({100, 200}, type, 1);
    const auto b = TestTensor::random({60, 200}, type, 2);
    const TestTensor first({100, 60}, DType::f32);
    const TestTensor second({100, 60}, DType::f32);
    for (const auto* result : {&first, &second})
      gemm(result->view(), a.view(), b.view(), {.transpose_b = true});
    EXPECT_EQ(first.values(), second.values());
  }
}

TEST(Gemm, SteadyStateNeedsNoMoreScratch) {
  const auto use = [] { run({64, 64, 128, DType::f16, DType::f16}); };
  use();
  const auto held = scratch_bytes();
  use();
  EXPECT_EQ(scratch_bytes(), held);
}

TEST(Gemm, RefusesWhatDoesNotFit) {
  const TestTensor a({4, 5}, DType::f32);
  const TestTensor b({6, 3}, DType::f32);
  const TestTensor c({4, 3}, DType::f32);
  EXPECT_THROW(gemm(c.view(), a.view(), b.view()), Error);
  const TestTensor half({5, 3}, DType::f16);
  EXPECT_THROW(gemm(c.view(), a.view(), half.view()), Error);
  const TestTensor right({5, 3}, DType::f32);
  gemm(c.view(), a.view(), right.view());
}

TEST(Gemm, SaysItsPath) {
  for (const DType type : kTypes)
    EXPECT_EQ(gemm_path(type).starts_with("oneDNN"), has_native_products(type)) << gemm_path(type);
  const char* limit = std::getenv("ONEDNN_MAX_CPU_ISA");
  if (limit && std::string(limit) == "AVX2") {
    EXPECT_EQ(product_isa(), "avx2");
    EXPECT_FALSE(has_native_products(DType::bf16));
  }
  EXPECT_GT(measure_gemm_peak(DType::f32, 0.05), 1e8);
}

}  // namespace
}  // namespace trireme::kernels
