// Activations against float64 and finite differences, in every dtype and way; the faults they must
// see.

#include "kernels/activation/activation.hpp"

#include "validation/harness/reference_math.hpp"
#include "validation/unit/kernels/activation_reference.hpp"
#include "validation/unit/kernels/every_way.hpp"

#include <cmath>
#include <limits>

namespace trireme::kernels {
namespace {

using validation::activation_slope;
using validation::activation_value;
using validation::in_every_way;
using validation::kActivations;
using validation::kFloatTypes;
using validation::relative_error;
using validation::rounding;
using validation::TestTensor;
using Values = std::vector<double>;

const auto* const kRuntime = validation::with_runtime_and_device(4);
struct Case {
  std::int64_t tokens, width, gap;
};
constexpr Case kCases[] = {{1, 1, 0}, {5, 13, 4}, {3, 2053, 1}, {70, 64, 0}};

TEST(Activation, AgreesWithTheReferenceForwardAndBackward) {
  for (const Activation kind : kActivations)
    for (const DType dtype : kFloatTypes)
      for (const Case& c : kCases)
        for (const bool with_bias : {false, true}) {
          const auto x = TestTensor::random({c.tokens, c.width}, dtype, 1, 3, c.width + c.gap);
          const auto dy = TestTensor::random({c.tokens, c.width}, dtype, 2);
          const auto bias = TestTensor::random({c.width}, dtype, 3);
          const TensorView b = with_bias ? bias.view() : TensorView{};
          const Values in = x.values(), added = bias.values();
          Values want_y = in, want_dx = dy.values();
          for (std::size_t i = 0; i < want_y.size(); ++i) {
            const double at =
                want_y[i] + (with_bias ? added[i % static_cast<std::size_t>(c.width)] : 0.0);
            want_y[i] = activation_value(kind, at);
            want_dx[i] *= activation_slope(kind, at);
          }
          const Values y = in_every_way([&] {
            TestTensor out = x;
            activation_forward(kind, out.view(), b, out.view());
            EXPECT_TRUE(out.gaps_intact());
            return out.values();
          });
          const Values dx = in_every_way([&] {
            TestTensor out = dy;
            activation_backward(kind, x.view(), b, out.view(), out.view());
            return out.values();
          });
          EXPECT_LT(relative_error(y, want_y), rounding(dtype)) << static_cast<int>(kind);
          EXPECT_LT(relative_error(dx, want_dx), rounding(dtype)) << static_cast<int>(kind);
          // The fault: a slope that forgets x f'(gate).
          if (kind == Activation::relu || c.width == 1) continue;
          Values faulty = dy.values();
          for (std::size_t i = 0; i < faulty.size(); ++i) {
            const double at = in[i];
            faulty[i] *= at == 0 ? 0.5 : activation_value(kind, at) / at;
          }
          EXPECT_GT(relative_error(faulty, want_dx), 3 * rounding(dtype));
        }
}

TEST(Activation, ExtremesStayFiniteAndNaNStaysNaN) {
  constexpr float kBig = 1e30f;
  for (const Activation kind : kActivations) {
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    const auto in = TestTensor::from({kBig, -kBig, kNaN, 0}, {1, 4}, DType::f32);
    const auto one = TestTensor::from({1, 1, 1, 1}, {1, 4}, DType::f32);
    const TestTensor out({1, 4}, DType::f32), d_in({1, 4}, DType::f32);
    activation_forward(kind, in.view(), {}, out.view());
    activation_backward(kind, in.view(), {}, one.view(), d_in.view());
    const Values y = out.values(), dx = d_in.values();
    EXPECT_EQ(y[0], kBig);
    EXPECT_EQ(y[1], 0.0f);
    EXPECT_TRUE(std::isnan(y[2]));
    EXPECT_EQ(dx[0], 1.0f);
    EXPECT_EQ(dx[1], 0.0f);
    EXPECT_EQ(y[3], 0.0f);
  }
}

TEST(SwiGlu, AgreesWithTheReferenceForwardAndBackward) {
  for (const DType dtype : kFloatTypes)
    for (const Case& c : kCases) {
      const auto x = TestTensor::random({c.tokens, 2 * c.width}, dtype, 1, 2, 2 * c.width + c.gap);
      const auto dy = TestTensor::random({c.tokens, c.width}, dtype, 2, 1, c.width + c.gap);
      const auto n = static_cast<std::size_t>(c.width);
      const Values in = x.values(), d_out = dy.values();
      Values want_y(d_out.size()), want_dx(in.size());
      for (std::size_t i = 0; i < want_y.size(); ++i) {
        const std::size_t gate = i / n * 2 * n + i % n;
        const double g = in[gate], u = in[gate + n], d = d_out[i];
        want_y[i] = activation_value(Activation::silu, g) * u;
        want_dx[gate] = d * u * activation_slope(Activation::silu, g);
        want_dx[gate + n] = d * activation_value(Activation::silu, g);
      }
      const Values y = in_every_way([&] {
        const TestTensor out({c.tokens, c.width}, dtype, c.width + c.gap);
        swiglu_forward(x.view(), out.view());
        EXPECT_TRUE(out.gaps_intact());
        return out.values();
      });
      EXPECT_LT(relative_error(y, want_y), rounding(dtype));
      const Values dx = in_every_way([&] {
        TestTensor in_place = x;
        const TestTensor again({c.tokens, c.width}, dtype);
        swiglu_backward(in_place.view(), dy.view(), in_place.view(), again.view());
        EXPECT_EQ(again.values(), y);
        EXPECT_TRUE(in_place.gaps_intact());
        return in_place.values();
      });
      EXPECT_LT(relative_error(dx, want_dx), rounding(dtype));
      // The fault: gate and up exchanged.
      Values faulty = want_dx;
      for (std::size_t i = 0; i < faulty.size(); i += 2 * n)
        std::swap_ranges(&faulty[i], &faulty[i] + n, &faulty[i + n]);
      EXPECT_GT(relative_error(faulty, want_dx), 10 * rounding(dtype));
    }
}

}  // namespace
}  // namespace trireme::kernels
