// Products against float64 loops: dtypes, transposes, strides, odd sizes, bias, accumulation, every
// number of threads; and that the same check catches what a wrong product does.

#include "kernels/gemm/gemm.hpp"

#include "kernels/activation/gemm_activation.hpp"
#include "kernels/base/scratch.hpp"
#include "kernels/gemm/product.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/unit/kernels/activation_reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

namespace trireme::kernels {
namespace {

using validation::activation_slope;
using validation::activation_value;
using validation::kActivations;
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

// ---- products and activations
// ------------------------------------------------------------------------------

/// c's a and b, an activation's input with rows `gap` apart, a bias; the rows of y are dense.
struct ActivationCase {
  ActivationCase(const Case& made, Activation f, bool with_bias, DType bias_type)
      : c(made),
        kind(f),
        a(TestTensor::random({c.m, c.k}, c.operand, 1, 0.3)),
        b(TestTensor::random({c.n, c.k}, c.operand, 2)),
        bias(TestTensor::random({c.n}, bias_type, 3)),
        kept(TestTensor::random({c.m, c.n}, c.result, 4, 2, c.n + c.gap)),
        product(reference_gemm(a.values(), b.values(), c.m, c.n, c.k, false, true)) {
    options.transpose_b = true;
    if (with_bias) options.bias = bias.view();
  }
  /// x behind the bias.
  std::vector<double> inner() const {
    auto x = product;
    const auto added = bias.values();
    for (std::size_t i = 0; i < x.size(); ++i)
      if (options.bias) x[i] += added[i % static_cast<std::size_t>(c.n)];
    return x;
  }
  std::vector<double> forward(Activation f) const {
    auto y = inner();
    for (double& value : y) value = activation_value(f, value);
    return y;
  }
  std::vector<double> backward(Activation f) const {
    auto dx = product;
    const auto x = kept.values();
    for (std::size_t i = 0; i < dx.size(); ++i) dx[i] *= activation_slope(f, x[i]);
    return dx;
  }
  /// Of y and dx: rounded twice where two kernels make them.
  double allowed() const { return 2 * tolerance(c); }

  Case c;
  Activation kind;
  TestTensor a, b, bias, kept;
  std::vector<double> product;
  GemmOptions options = {};
};

void expect_right(const ActivationCase& t) {
  const auto x = TestTensor::random({t.c.m, t.c.n}, t.c.result, 5, 1, t.c.n + t.c.gap);
  const auto y = TestTensor::random({t.c.m, t.c.n}, t.c.result, 6, 1, t.c.n + t.c.gap);
  const auto dx = TestTensor::random({t.c.m, t.c.n}, t.c.result, 7, 1, t.c.n + t.c.gap);
  gemm_activation(y.view(), x.view(), t.a.view(), t.b.view(), t.kind, t.options);
  gemm_activation_slope(dx.view(), t.kept.view(), t.a.view(), t.b.view(), t.kind,
                        {.transpose_b = true});
  EXPECT_LT(relative_error(x.values(), t.inner()), tolerance(t.c));
  EXPECT_LT(relative_error(y.values(), t.forward(t.kind)), t.allowed());
  EXPECT_LT(relative_error(dx.values(), t.backward(t.kind)), t.allowed());
  EXPECT_TRUE(x.gaps_intact() && y.gaps_intact() && dx.gaps_intact());
}

/// Aligned rows, rows that a GPU's library can't keep, one row, one column.
TEST(GemmActivation, AgreesWithTheReference) {
  for (const Activation kind : kActivations)
    for (const DType operand : kTypes)
      for (const DType result : {operand, DType::f32})
        for (const bool with_bias : {false, true}) {
          SCOPED_TRACE(fmt::format("{} {} -> {}", static_cast<int>(kind), name_of(operand),
                                   name_of(result)));
          for (const Case& c : {Case{33, 48, 40, operand, result},
                                {33, 48, 40, operand, result, {}, 16},
                                {20, 17, 24, operand, result, {}, 3},
                                {1, 21, 8, operand, result},
                                {5, 1, 3, operand, result, {}, 7}})
            expect_right({c, kind, with_bias, operand});
          expect_right({{20, 24, 16, operand, result}, kind, with_bias, DType::f32});
        }
}

/// What one kernel makes has been rounded once. A GPU's library does that for its GELU; all else
/// has the bits of two calls.
TEST(GemmActivation, HasTheBitsOfTwoCallsOrIsOneKernel) {
  for (const Activation kind : kActivations) {
    const ActivationCase t({64, 64, 96, DType::bf16, DType::bf16}, kind, true, DType::bf16);
    const TestTensor x({64, 64}, DType::bf16), y = x, dx = x, two_y = x, two_dx = x;
    gemm_activation(y.view(), x.view(), t.a.view(), t.b.view(), kind, t.options);
    gemm(x.view(), t.a.view(), t.b.view(), t.options);
    activation_forward(kind, x.view(), {}, two_y.view());
    gemm_activation_slope(dx.view(), t.kept.view(), t.a.view(), t.b.view(), kind,
                          {.transpose_b = true});
    gemm(two_dx.view(), t.a.view(), t.b.view(), {.transpose_b = true});
    activation_backward(kind, t.kept.view(), {}, two_dx.view(), two_dx.view());
    const bool one =
        kind == Activation::gelu_tanh && validation::test_space() == MemorySpace::device;
    EXPECT_EQ(y.values() == two_y.values(), !one);
    EXPECT_EQ(dx.values() == two_dx.values(), !one);
    if (!one) continue;
    const auto error = [](const TestTensor& got, const std::vector<double>& want) {
      return relative_error(got.values(), want);
    };
    EXPECT_LT(error(y, t.forward(kind)), error(two_y, t.forward(kind)));
    EXPECT_LT(error(dx, t.backward(kind)), error(two_dx, t.backward(kind)));
  }
}

TEST(GemmActivation, TheCheckCatchesAnotherFunction) {
  const ActivationCase t({33, 48, 40, DType::f32, DType::f32}, Activation::gelu_tanh, true,
                         DType::f32);
  ActivationCase without = t;
  without.options.bias = {};
  EXPECT_GT(relative_error(t.forward(Activation::gelu_erf), t.forward(t.kind)), 10 * t.allowed());
  EXPECT_GT(relative_error(t.backward(Activation::gelu_erf), t.backward(t.kind)), 10 * t.allowed());
  EXPECT_GT(relative_error(without.forward(t.kind), t.forward(t.kind)), 10 * t.allowed());
  auto plain = t.product;  // a slope that is left out
  EXPECT_GT(relative_error(plain, t.backward(t.kind)), 10 * t.allowed());
}

TEST(GemmActivation, RefusesWhatDoesNotFit) {
  const TestTensor a({4, 8}, DType::f32), b({16, 8}, DType::f32), x({4, 16}, DType::f32);
  const TestTensor narrow({4, 15}, DType::f32);
  GemmOptions options{.transpose_b = true};
  const auto call = [&](const TestTensor& y) {
    gemm_activation(y.view(), x.view(), a.view(), b.view(), Activation::relu, options);
  };
  call(TestTensor({4, 16}, DType::f32));
  EXPECT_THROW(call(narrow), Error);
  options.accumulate = true;
  EXPECT_THROW(call(TestTensor({4, 16}, DType::f32)), Error);
  options.accumulate = false;
  options.bias = narrow.view().column_slice(0, 1);
  EXPECT_THROW(
      gemm_activation_slope(x.view(), x.view(), a.view(), b.view(), Activation::relu, options),
      Error);
}

TEST(Gemm, Tf32RoundsOperandsOnDevicesAlone) {
  const Case c{33, 40, 64, DType::f32, DType::f32, {.transpose_b = true, .tf32 = true}};
  const double error = run(c).error;
  const bool device = validation::test_space() == MemorySpace::device;
  // Of two operands; f16 has the same bits.
  EXPECT_LT(error, device ? 2 * epsilon_of(DType::f16) : tolerance(c));
  EXPECT_EQ(error > 10 * tolerance(c), device);
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
