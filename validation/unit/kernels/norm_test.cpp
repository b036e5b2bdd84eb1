// Norms and residuals against float64 loops and finite differences; fused forms against separate
// ones bit for bit; and the mistakes that these checks must see.

#include "kernels/norm/norm.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/unit/kernels/every_way.hpp"

#include <cmath>
#include <numeric>

namespace trireme::kernels {
namespace {

using validation::all_elements;
using validation::in_every_way;
using validation::kFloatTypes;
using validation::relative_error;
using validation::rounding;
using validation::TestTensor;
using Values = std::vector<double>;

const auto* const kRuntime = validation::with_runtime_and_device(4);
constexpr double kEpsilon = 1e-5;

struct Case {
  NormKind kind;
  DType dtype;
  std::int64_t tokens, width, group;
  std::int64_t gap = 0;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const NormKind kind : {NormKind::layer, NormKind::rms})
    for (const DType dtype : kFloatTypes) {
      all.push_back({kind, dtype, 1, 1, 1});
      all.push_back({kind, dtype, 5, 7, 7, 3});
      all.push_back({kind, dtype, 67, 33, 33});
      all.push_back({kind, dtype, 3, 60, 20, 5});  // three groups a row: q/k norm
    }
  return all;
}

/// y of the header's formulas.
Values reference(const Case& c, const Values& x, const Values& gamma, const Values& beta) {
  Values y(x.size());
  const auto n = static_cast<std::size_t>(c.group);
  for (std::size_t start = 0; start < x.size(); start += n) {
    double mean = 0;
    if (c.kind == NormKind::layer)
      mean = std::accumulate(&x[start], &x[start] + n, 0.0) / static_cast<double>(n);
    double square = 0;
    for (std::size_t i = 0; i < n; ++i) square += std::pow(x[start + i] - mean, 2);
    const double rstd = 1 / std::sqrt(square / static_cast<double>(n) + kEpsilon);
    for (std::size_t i = 0; i < n; ++i)
      y[start + i] =
          (x[start + i] - mean) * rstd * gamma[i] + (c.kind == NormKind::layer ? beta[i] : 0.0);
  }
  return y;
}

struct Tensors {
  TestTensor x, gamma, beta, dy, skip, mean, rstd;
  explicit Tensors(const Case& c)
      : x(TestTensor::random({c.tokens, c.width}, c.dtype, 1, 2, c.width + c.gap)),
        gamma(TestTensor::random({c.group}, c.dtype, 2)),
        beta(TestTensor::random({c.group}, c.dtype, 3)),
        dy(TestTensor::random({c.tokens, c.width}, c.dtype, 4, 1, c.width + 2 * c.gap)),
        skip(TestTensor::random({c.tokens, c.width}, c.dtype, 5, 1, c.width + c.gap)),
        mean({c.tokens * c.width / c.group}, DType::f32),
        rstd({c.tokens * c.width / c.group}, DType::f32) {}
  Norm norm(const Case& c) const {
    return {c.kind, static_cast<float>(kEpsilon), gamma.view(),
            c.kind == NormKind::layer ? beta.view() : TensorView{}};
  }
  NormStatistics saved(const Case& c) const {
    return {c.kind == NormKind::layer ? mean.view() : TensorView{}, rstd.view()};
  }
};

TEST(Norm, ForwardAgreesWithTheReference) {
  for (const Case& c : cases()) {
    const Tensors t(c);
    const Values want = reference(c, t.x.values(), t.gamma.values(), t.beta.values());
    const Values got = in_every_way([&] {
      const TestTensor y({c.tokens, c.width}, c.dtype, c.width + c.gap);
      norm_forward(t.norm(c), t.x.view(), y.view(), t.saved(c));
      EXPECT_TRUE(y.gaps_intact());
      return y.values();
    });
    EXPECT_LT(relative_error(got, want), rounding(c.dtype)) << c.width << name_of(c.dtype);
    TestTensor in_place = t.x;
    norm_forward(t.norm(c), in_place.view(), in_place.view(), t.saved(c));
    EXPECT_EQ(in_place.values(), got);
  }
}

TEST(Norm, LargeMeansKeepTheirVariance) {
  // x = 1000 + small: E[x^2] - E[x]^2 in fp32 would lose all of it.
  const Case c{NormKind::layer, DType::f32, 4, 96, 96};
  Tensors t(c);
  Values shifted = t.x.values();
  for (double& v : shifted) v = 1000 + v / 100;
  t.x = TestTensor::from(shifted, {c.tokens, c.width}, c.dtype);
  const TestTensor y({c.tokens, c.width}, c.dtype);
  norm_forward(t.norm(c), t.x.view(), y.view(), t.saved(c));
  const Values want = reference(c, t.x.values(), t.gamma.values(), t.beta.values());
  // The mean's own rounding, 1000 eps, stays against a deviation of 0.02.
  EXPECT_LT(relative_error(y.values(), want), 1000 * epsilon_of(DType::f32) / 0.02);
}

/// Gradients of sum(w y) by finite differences of the reference.
struct Truth {
  Values x, gamma, beta;
};
Truth truth(const Case& c, const Tensors& t) {
  const Values x = t.x.values(), gamma = t.gamma.values(), beta = t.beta.values();
  const Values w = t.dy.values();
  const auto loss = [&](const Values& y) {
    return std::inner_product(y.begin(), y.end(), w.begin(), 0.0);
  };
  using validation::finite_differences;
  return {finite_differences([&](const Values& v) { return loss(reference(c, v, gamma, beta)); }, x,
                             all_elements(x.size())),
          finite_differences([&](const Values& v) { return loss(reference(c, x, v, beta)); }, gamma,
                             all_elements(gamma.size())),
          finite_differences([&](const Values& v) { return loss(reference(c, x, gamma, v)); }, beta,
                             all_elements(beta.size()))};
}

/// |got - want| against the size of the terms that were added up: single elements cancel.
double error_against(const Values& got, const Values& want, double size) {
  double sum = 0;
  for (std::size_t i = 0; i < want.size(); ++i) sum += std::pow(got[i] - want[i], 2);
  return std::sqrt(sum) / size;
}
double norm_of(const Values& v) {
  return std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
}

TEST(Norm, BackwardAgreesWithFiniteDifferences) {
  for (const Case& c : cases()) {
    const Tensors t(c);
    const Truth want = truth(c, t);
    norm_forward(t.norm(c), t.x.view(), TestTensor({c.tokens, c.width}, c.dtype).view(),
                 t.saved(c));
    const Values skip = t.skip.values();
    for (const bool with_skip : {false, true}) {
      Values want_x = want.x;
      for (std::size_t i = 0; with_skip && i < skip.size(); ++i) want_x[i] += skip[i];
      const TestTensor d_gamma({c.group}, DType::f32), d_beta({c.group}, DType::f32);
      const bool layer = c.kind == NormKind::layer;
      const Values got = in_every_way([&] {
        const TestTensor dx({c.tokens, c.width}, c.dtype, c.width + c.gap);
        norm_backward(t.norm(c), t.x.view(), t.dy.view(), t.saved(c),
                      with_skip ? t.skip.view() : TensorView{}, dx.view(),
                      {d_gamma.view(), layer ? d_beta.view() : TensorView{}, false});
        EXPECT_TRUE(dx.gaps_intact());
        Values all = dx.values();
        for (const auto* d : {&d_gamma, &d_beta})
          for (const double v : d->values()) all.push_back(v);
        return all;
      });
      const Values got_x(got.begin(), got.begin() + static_cast<std::ptrdiff_t>(want_x.size()));
      const double size = norm_of(want_x) + norm_of(t.dy.values());
      EXPECT_LT(error_against(got_x, want_x, size), 2 * rounding(c.dtype)) << c.width;
      const double small = 64 * epsilon_of(DType::f32) * norm_of(t.dy.values()) * 4;
      EXPECT_LT(error_against(d_gamma.values(), want.gamma, 1), small);
      EXPECT_LT(error_against(d_beta.values(), layer ? want.beta : Values(want.beta.size()), 1),
                small);
    }
  }
}

/// The same gradients by the formulas that a backward follows: for rows too wide for differences.
Truth derivative(const Case& c, const Tensors& t) {
  const Values x = t.x.values(), gamma = t.gamma.values(), dy = t.dy.values();
  const auto n = static_cast<std::size_t>(c.group);
  Truth d{Values(x.size()), Values(n), Values(n)};
  for (std::size_t start = 0; start < x.size(); start += n) {
    double mean = 0, square = 0, first = 0, second = 0;
    for (std::size_t i = 0; c.kind == NormKind::layer && i < n; ++i)
      mean += x[start + i] / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i)
      square += std::pow(x[start + i] - mean, 2) / static_cast<double>(n);
    const double rstd = 1 / std::sqrt(square + kEpsilon);
    const auto normed = [&](std::size_t i) { return (x[start + i] - mean) * rstd; };
    for (std::size_t i = 0; i < n; ++i) {
      const double slope = dy[start + i] * gamma[i] / static_cast<double>(n);
      if (c.kind == NormKind::layer) first += slope;
      second += slope * normed(i);
      d.gamma[i] += dy[start + i] * normed(i);
      d.beta[i] += dy[start + i];
    }
    for (std::size_t i = 0; i < n; ++i)
      d.x[start + i] = (dy[start + i] * gamma[i] - first - normed(i) * second) * rstd;
  }
  return d;
}

TEST(Norm, TheFormulasOfTheBackwardAgreeWithFiniteDifferences) {
  for (const Case& c : cases()) {
    const Tensors t(c);
    const Truth want = truth(c, t), got = derivative(c, t);
    const double size = norm_of(t.dy.values());
    EXPECT_LT(error_against(got.x, want.x, size + norm_of(want.x)), 1e-5) << c.width;
    EXPECT_LT(error_against(got.gamma, want.gamma, size), 1e-5);
    if (c.kind == NormKind::rms) continue;
    EXPECT_LT(error_against(got.beta, want.beta, size), 1e-5);
  }
}

// A GPU's block holds a row in one warp, in several, and in one, four or eight packs a thread; the
// rows are shared by several blocks.
TEST(Norm, WideRowsAgreeWithTheReference) {
  for (const NormKind kind : {NormKind::layer, NormKind::rms})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const std::int64_t width : {303, 2500, 9001}) {
        const Case c{kind, dtype, 11, width, width, 3};
        const Tensors t(c);
        const bool layer = kind == NormKind::layer;
        const TestTensor y({c.tokens, width}, dtype, width + 3), dx = y;
        const TestTensor d_gamma({width}, DType::f32), d_beta({width}, DType::f32);
        norm_forward(t.norm(c), t.x.view(), y.view(), t.saved(c));
        norm_backward(t.norm(c), t.x.view(), t.dy.view(), t.saved(c), t.skip.view(), dx.view(),
                      {d_gamma.view(), layer ? d_beta.view() : TensorView{}, false});
        EXPECT_TRUE(y.gaps_intact() && dx.gaps_intact());
        const Values want_y = reference(c, t.x.values(), t.gamma.values(), t.beta.values());
        EXPECT_LT(relative_error(y.values(), want_y), rounding(dtype)) << width;
        Truth want = derivative(c, t);
        const Values skip = t.skip.values();
        for (std::size_t i = 0; i < skip.size(); ++i) want.x[i] += skip[i];
        EXPECT_LT(relative_error(dx.values(), want.x), 2 * rounding(dtype)) << width;
        const double exact = 64 * epsilon_of(DType::f32);
        EXPECT_LT(relative_error(d_gamma.values(), want.gamma), exact) << width;
        if (!layer) continue;
        EXPECT_LT(relative_error(d_beta.values(), want.beta), exact) << width;
      }
}

TEST(Norm, AMissingTermOfTheBackwardIsSeen) {
  for (const NormKind kind : {NormKind::layer, NormKind::rms}) {
    const Case c{kind, DType::bf16, 67, 33, 33};
    const Tensors t(c);
    const Truth want = truth(c, t);
    // The fault: dx = rstd g, as if the statistics were constants.
    const Values gamma = t.gamma.values();
    norm_forward(t.norm(c), t.x.view(), TestTensor({c.tokens, c.width}, c.dtype).view(),
                 t.saved(c));
    const Values rstd = t.rstd.values();
    Values faulty = t.dy.values();
    for (std::size_t i = 0; i < faulty.size(); ++i) faulty[i] *= gamma[i % 33] * rstd[i / 33];
    const double size = norm_of(want.x) + norm_of(t.dy.values());
    EXPECT_GT(error_against(faulty, want.x, size), 3 * 2 * rounding(c.dtype));
  }
}

TEST(Norm, GradientsAccumulateAndWorkInPlace) {
  const Case c{NormKind::layer, DType::f32, 70, 24, 24};
  const Tensors t(c);
  norm_forward(t.norm(c), t.x.view(), TestTensor({c.tokens, c.width}, c.dtype).view(), t.saved(c));
  const TestTensor dx({c.tokens, c.width}, c.dtype);
  const TestTensor once({c.group}, DType::f32), twice({c.group}, DType::f32);
  const auto backward = [&](const TensorView& skip, const TensorView& out, const TensorView& gamma,
                            bool accumulate) {
    norm_backward(t.norm(c), t.x.view(), t.dy.view(), t.saved(c), skip, out,
                  {gamma, {}, accumulate});
  };
  backward(t.skip.view(), dx.view(), once.view(), false);
  const TestTensor in_place = t.skip;
  backward(in_place.view(), in_place.view(), twice.view(), false);
  EXPECT_EQ(in_place.values(), dx.values());
  backward(t.skip.view(), dx.view(), twice.view(), true);
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(twice.values()[i], 2 * once.values()[i]);
}

TEST(Norm, AlignmentDoesNotChangeBits) {
  for (const NormKind kind : {NormKind::layer, NormKind::rms})
    for (const DType dtype : kFloatTypes) {
      const auto run = [&](std::int64_t gap) {  // a gap of 1 gives every row another alignment
        const Case c{kind, dtype, 21, 203, 203, gap};
        const Tensors t(c);
        const TestTensor y({c.tokens, c.width}, dtype, c.width + gap), dx = y;
        const TestTensor d_gamma({c.group}, DType::f32);
        norm_forward(t.norm(c), t.x.view(), y.view(), t.saved(c));
        norm_backward(t.norm(c), t.x.view(), t.dy.view(), t.saved(c), t.skip.view(), dx.view(),
                      {d_gamma.view(), {}, false});
        Values all = y.values();
        for (const TestTensor* part : {&dx, &d_gamma})
          for (const double v : part->values()) all.push_back(v);
        return all;
      };
      EXPECT_EQ(run(0), run(1));
    }
}

TEST(Residual, FusedFormHasTheBitsOfTheTwoCalls) {
  std::vector<Case> all = cases();
  all.push_back({NormKind::layer, DType::bf16, 3, 2500, 2500});
  all.push_back({NormKind::rms, DType::f32, 2, 9001, 9001, 1});
  for (const Case& c : all) {
    const Tensors t(c);
    const auto delta = TestTensor::random({c.tokens, c.width}, c.dtype, 6, 1, c.width + 1);
    const auto bias = TestTensor::random({c.width}, c.dtype, 7);
    for (const float probability : {0.0f, 0.25f})
      for (const bool with_bias : {false, true}) {
        RowDropout dropout;
        dropout.key = {.seed = 9, .step = 4, .layer_place = 17, .probability = probability};
        dropout.positions = c.tokens;
        const Residual residual{delta.view(), with_bias ? bias.view() : TensorView{}, dropout};
        const TestTensor out({c.tokens, c.width}, c.dtype), y({c.tokens, c.width}, c.dtype);
        residual_forward(residual, t.x.view(), out.view());
        norm_forward(t.norm(c), out.view(), y.view(), t.saved(c));
        const Values separate = y.values();
        const Values fused = in_every_way([&] {
          const TestTensor sum({c.tokens, c.width}, c.dtype, c.width + c.gap);
          residual_norm_forward(t.norm(c), residual, t.x.view(), sum.view(), y.view(), t.saved(c));
          EXPECT_EQ(sum.values(), out.values());
          return y.values();
        });
        EXPECT_EQ(fused, separate);
        // Against float64, with the mask of the contract.
        const DropoutStream mask(dropout.key, 0);
        Values want = t.x.values();
        const Values added = delta.values(), shift = bias.values();
        for (std::size_t i = 0; i < want.size(); ++i) {
          const double d =
              added[i] + (with_bias ? shift[i % static_cast<std::size_t>(c.width)] : 0.0);
          const bool keep = probability == 0 || mask.keep(static_cast<std::int64_t>(i));
          want[i] += keep ? d / (1 - static_cast<double>(probability)) : 0;
        }
        EXPECT_LT(relative_error(out.values(), want), rounding(c.dtype));
      }
  }
}

TEST(Norm, ArgumentsThatDoNotFitAreNamed) {
  const Case c{NormKind::layer, DType::f32, 4, 12, 12};
  const Tensors t(c);
  const TestTensor y({c.tokens, c.width}, c.dtype), narrow({c.tokens, 11}, c.dtype);
  EXPECT_THROW(norm_forward(t.norm(c), t.x.view(), narrow.view(), t.saved(c)), Error);
  Norm bad = t.norm(c);
  bad.gamma = TestTensor({5}, DType::f32).view();
  EXPECT_THROW(norm_forward(bad, t.x.view(), y.view(), t.saved(c)), Error);
  EXPECT_THROW(norm_forward(t.norm(c), t.x.view(), y.view(), {}), Error);
}

}  // namespace
}  // namespace trireme::kernels
