// fp8: a tensor's scale and its rounding to the bit, on host and device; products of such tensors
// against those of their values in float64.

#include "kernels/fp8/fp8.hpp"

#include "kernels/base/device.hpp"
#include "kernels/gemm/gemm.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/unit/kernels/every_way.hpp"

#include <bit>
#include <cmath>
#include <limits>

namespace trireme::kernels {
namespace {

using validation::reference_gemm;
using validation::relative_error;
using validation::SpaceVector;
using validation::TestTensor;
using Values = std::vector<double>;

const auto* const kRuntime = validation::with_runtime_and_device(4);

class Fp8 : public validation::Fp8Cases {};

constexpr DType kFormats[] = {DType::e4m3, DType::e5m2};

double largest_of(DType format) {
  return static_cast<double>(format == DType::e4m3 ? Float8E4M3::largest() : Float8E5M2::largest());
}
double rounded(double x, DType format) {
  const auto y = static_cast<float>(x);
  return static_cast<double>(format == DType::e4m3 ? static_cast<float>(Float8E4M3(y))
                                                   : static_cast<float>(Float8E5M2(y)));
}

double largest_in(const Values& x) {
  double most = 0;
  for (const double value : x) most = std::max(most, std::abs(value));
  return most;
}

/// The largest power of two that keeps all of x inside the format.
double scale_for(const Values& x, DType format) {
  double scale = 1;
  while (largest_in(x) * scale > largest_of(format)) scale /= 2;
  while (largest_in(x) * scale * 2 <= largest_of(format)) scale *= 2;
  return scale;
}

/// What fp8 makes of x.
Values quantised(Values x, DType format) {
  const double scale = scale_for(x, format);
  for (double& value : x) value = rounded(value * scale, format) / scale;
  return x;
}

struct Small {
  std::int64_t rows, width, stride;
  DType format;
  SpaceVector<std::uint8_t> bytes;
  SpaceVector<float> scale;

  Small(std::int64_t r, std::int64_t w, DType type)
      : rows(r),
        width(w),
        stride((w + 15) / 16 * 16),
        format(type),
        bytes(std::vector<std::uint8_t>(static_cast<std::size_t>(r * stride), 0xA5)),
        scale({0, 0}) {}
  Fp8Tensor tensor() const {
    return {{bytes.data(), {rows, width}, format, stride, validation::test_space()},
            reinterpret_cast<Fp8Scale*>(scale.data())};
  }
  double unscale() const { return static_cast<double>(scale.values()[0]); }
  /// Times the scale; gaps that are not zero make it empty.
  Values values() const {
    const auto codes = bytes.values();
    Values out;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < stride; ++c) {
        const std::uint8_t code = codes[static_cast<std::size_t>(r * stride + c)];
        if (c >= width && code != 0) return {};
        const float value = format == DType::e4m3 ? static_cast<float>(Float8E4M3::of_bits(code))
                                                  : static_cast<float>(Float8E5M2::of_bits(code));
        if (c < width) out.push_back(static_cast<double>(value) * unscale());
      }
    return out;
  }
};

Values transposed(const Values& x, std::int64_t rows, std::int64_t width) {
  Values out;
  for (std::int64_t c = 0; c < width; ++c)
    for (std::int64_t r = 0; r < rows; ++r)
      out.push_back(x[static_cast<std::size_t>(r * width + c)]);
  return out;
}

TEST_F(Fp8, QuantizeRoundsEveryElementAsItsFormatSays) {
  for (const auto way : validation::ways()) {
    const ExecutionScope scope(way.execution, way.threads);
    for (const DType format : kFormats)
      for (const DType type : validation::kFloatTypes)
        for (const auto& [rows, width, gap] :
             {std::array{1, 1, 0}, {70, 33, 5}, {129, 64, 0}, {16, 200, 8}})
          for (const double size : {1.0, 3e-4}) {
            const auto x = TestTensor::random({rows, width}, type, 5, size, width + gap);
            const Values want = quantised(x.values(), format);
            const Small plain(rows, width, format);
            quantize(x.view(), plain.tensor());
            EXPECT_EQ(plain.values(), want) << rows << " x " << width << " " << name_of(format);
            EXPECT_EQ(1 / plain.unscale(), scale_for(x.values(), format));
            EXPECT_EQ(static_cast<double>(plain.scale.values()[1]), largest_in(x.values()));
            const Small turned(width, rows, format);
            quantize(x.view(), turned.tensor(), true);
            EXPECT_EQ(turned.values(), transposed(want, rows, width));
          }
  }
}

TEST_F(Fp8, ScalesFollowTheTensor) {
  // Times a power of two every bit stays; without a scale small tensors would be nothing.
  const auto x = TestTensor::random({32, 48}, DType::f32, 6);
  Values tiny = x.values();
  for (double& value : tiny) value *= 0x1p-40;
  const auto y = TestTensor::from(tiny, {32, 48}, DType::f32);
  for (const DType format : kFormats) {
    const Small a(32, 48, format), b(32, 48, format);
    quantize(x.view(), a.tensor());
    quantize(y.view(), b.tensor());
    EXPECT_EQ(a.bytes.values(), b.bytes.values());
    EXPECT_EQ(a.unscale() * 0x1p-40, b.unscale());
    Values unscaled = tiny;  // the planted fault
    for (double& value : unscaled) value = rounded(value, format);
    EXPECT_EQ(relative_error(unscaled, tiny), 1);
    EXPECT_LT(relative_error(b.values(), tiny), epsilon_of(format) / 2);
  }
}

// More elements than a GPU's blocks take in one round: the largest may be in the last.
TEST_F(Fp8, ScalesOfLargeTensorsMissNoElement) {
  constexpr std::int64_t kRows = 70, kWidth = 30'016;
  const Small of_the_largest(1, 16, DType::e4m3), made(kRows, kWidth, DType::e4m3);
  auto x = TestTensor::random({kRows, kWidth}, DType::bf16, 8);
  auto largest = TestTensor({1, 16}, DType::bf16);
  largest.set(0, 3, -3000);
  quantize(largest.view(), of_the_largest.tensor());
  for (const std::int64_t row : {std::int64_t{0}, kRows - 1}) {
    quantize(x.view(), made.tensor());
    EXPECT_LT(made.unscale(), of_the_largest.unscale());
    x.set(row, kWidth - 1, -3000);
    quantize(x.view(), made.tensor());
    EXPECT_EQ(made.unscale(), of_the_largest.unscale());
    x.set(row, kWidth - 1, 0);
  }
}

TEST_F(Fp8, ZerosHaveTheScaleOneAndWhatIsNotFiniteHasNone) {
  const auto zeros = TestTensor({3, 16}, DType::bf16);
  const Small none(3, 16, DType::e4m3);
  quantize(zeros.view(), none.tensor());
  EXPECT_EQ(none.values(), Values(48));
  EXPECT_EQ(none.unscale(), 1);
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    auto x = TestTensor::random({20, 40}, DType::bf16, 7);
    x.set(19, 39, bad);
    const Small small(20, 40, DType::e5m2);
    quantize(x.view(), small.tensor());
    EXPECT_TRUE(std::isnan(small.unscale()));
    const auto b = TestTensor::random({16, 40}, DType::bf16, 8);
    const TestTensor c({20, 16}, DType::bf16);
    gemm_fp8(c.view(), x.view(), b.view(), {DType::e5m2, DType::e4m3}, {.transpose_b = true});
    for (const double value : c.values()) EXPECT_TRUE(std::isnan(value));
  }
}

struct Case {
  std::int64_t m, n, k;
  Fp8Formats formats = {};
  DType result = DType::bf16;
  GemmOptions options = {};
};

struct Outcome {
  double error;     ///< against the product of the rounded operands
  double unscaled;  ///< the same of operands that were rounded without a scale: a planted fault
};

Outcome run(const Case& c) {
  const bool ta = c.options.transpose_a;
  const bool tb = c.options.transpose_b;
  constexpr double kSmall = 1e-3;  // of the gradients that e5m2 is for
  const auto a = TestTensor::random(ta ? Shape{c.k, c.m} : Shape{c.m, c.k}, DType::bf16, 1, kSmall,
                                    (ta ? c.m : c.k) + 3);
  const auto b = TestTensor::random(tb ? Shape{c.n, c.k} : Shape{c.k, c.n}, DType::bf16, 2, kSmall);
  const auto old = TestTensor::random({c.m, c.n}, c.result, 3, kSmall, c.n + 16);
  const auto bias = TestTensor::random({c.n}, c.result, 4);
  auto result = old;
  GemmOptions options = c.options;
  if (options.bias) options.bias = bias.view();
  gemm_fp8(result.view(), a.view(), b.view(), c.formats, options);
  EXPECT_TRUE(result.gaps_intact());

  const auto product_of = [&](const Values& x, const Values& y) {
    Values want = reference_gemm(x, y, c.m, c.n, c.k, ta, tb);
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (options.bias) want[i] += bias.values()[i % static_cast<std::size_t>(c.n)];
      if (options.accumulate) want[i] += old.values()[i];
    }
    return want;
  };
  const auto unscaled = [](Values x, DType format) {
    for (double& value : x) value = rounded(value, format);
    return x;
  };
  return {relative_error(result.values(), product_of(quantised(a.values(), c.formats.a),
                                                     quantised(b.values(), c.formats.b))),
          relative_error(result.values(), product_of(unscaled(a.values(), c.formats.a),
                                                     unscaled(b.values(), c.formats.b)))};
}

TEST_F(Fp8, ProductsAreThoseOfTheRoundedOperands) {
  float anything = 0;
  const GemmOptions forward{.transpose_b = true};
  GemmOptions biased = forward;
  biased.bias = TensorView(&anything, {1}, DType::bf16);
  const Fp8Formats gradient{DType::e5m2, DType::e4m3};
  for (const Case& c :
       {Case{33, 48, 40, {}, DType::bf16, forward},
        {17, 16, 7, {}, DType::f32, forward},
        {64, 32, 96, gradient, DType::bf16, {}},
        {48, 32, 70, gradient, DType::f32, {.transpose_a = true, .accumulate = true}},
        {48, 32, 70, {DType::e4m3, DType::e5m2}, DType::f32, {.transpose_a = true}},
        {40, 64, 32, {}, DType::bf16, biased},
        {40, 64, 32, {}, DType::f32, biased}}) {
    const Outcome got = run(c);
    // Tensor cores keep about 14 bits of sums of fp8 products.
    const double sums = validation::test_space() == MemorySpace::device ? 0x1p-11 : 0;
    const double tolerance = epsilon_of(c.result) + sums +
                             2 * std::sqrt(static_cast<double>(c.k)) * epsilon_of(DType::f32);
    EXPECT_LT(got.error, tolerance) << c.m << " x " << c.n << " x " << c.k;
    if (!c.options.bias && !c.options.accumulate) {
      EXPECT_GT(got.unscaled, 10 * tolerance);
    }
  }
}

TEST_F(Fp8, RefusesWhatHopperCannotMultiply) {
  const TestTensor a({32, 32}, DType::bf16);
  const TestTensor narrow({32, 24}, DType::bf16);
  EXPECT_THROW(gemm_fp8(a.view(), a.view(), a.view(), {DType::e5m2, DType::e5m2}), Error);
  EXPECT_THROW(gemm_fp8(a.view(), a.view(), a.view(), {DType::bf16, DType::e4m3}), Error);
  EXPECT_THROW(gemm_fp8(narrow.view(), a.view(), narrow.view(), {}), Error);
  gemm_fp8(a.view(), a.view(), a.view(), {});
  expect_fp8_products(validation::test_space());
}

}  // namespace
}  // namespace trireme::kernels
