// Rotary embedding: against complex multiplication in float64, inverse, relative positions.

#include "kernels/rotary/rotary.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/reference_math.hpp"

#include <cmath>
#include <complex>

namespace trireme::kernels {
namespace {

using validation::relative_error;
using validation::TestTensor;

const auto* const kRuntime = validation::with_runtime_and_device(4);
constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};
constexpr std::int64_t kSeq = 7;
constexpr std::int64_t kHeads = 3;
constexpr std::int64_t kDim = 10;

/// Element i and i + dim/2 of a head are one complex number, turned by position theta^(-2i/dim).
std::vector<double> reference(std::vector<double> x, const std::vector<std::int32_t>& positions,
                              double theta) {
  for (std::size_t r = 0; r < positions.size(); ++r)
    for (std::size_t h = 0; h < kHeads; ++h)
      for (std::size_t i = 0; i < kDim / 2; ++i) {
        double* head = x.data() + (r * kHeads + h) * kDim;
        const double angle = positions[r] * std::pow(theta, -2.0 * static_cast<double>(i) / kDim);
        const auto turned = std::complex(head[i], head[i + kDim / 2]) * std::polar(1.0, angle);
        head[i] = turned.real();
        head[i + kDim / 2] = turned.imag();
      }
  return x;
}

std::vector<std::int32_t> implicit_positions(std::int64_t rows) {
  std::vector<std::int32_t> positions;
  for (std::int64_t r = 0; r < rows; ++r) positions.push_back(static_cast<std::int32_t>(r % kSeq));
  return positions;
}

RotaryTable placed(RotaryTable table) {
  if (validation::test_space() == MemorySpace::device) table.place_on_device();
  return table;
}

TEST(Rotary, AgreesWithComplexMultiplication) {
  const RotaryTable table = placed({20, kDim, 500.0});
  for (const auto way : validation::ways()) {
    const ExecutionScope scope(way.execution, way.threads);
    for (const DType dtype : kTypes) {
      const auto x = TestTensor::random({2 * kSeq, kHeads * kDim}, dtype, 1, 1, 40);
      const double tolerance = 2 * epsilon_of(dtype);
      auto turned = x;
      rotary(turned.view(), table, kSeq, Rotation::forward);
      const auto positions = implicit_positions(2 * kSeq);
      EXPECT_LT(relative_error(turned.values(), reference(x.values(), positions, 500)), tolerance);
      EXPECT_TRUE(turned.gaps_intact());
      // The fault: another theta.
      EXPECT_GT(relative_error(turned.values(), reference(x.values(), positions, 20)),
                5 * tolerance);

      auto explicit_rows = x;
      const std::vector<std::int32_t> given{3, 0, 19, 1, 1, 2, 5, 8, 13, 7, 6, 0, 4, 11};
      const validation::TestIds ids(given);
      rotary(explicit_rows.view(), table, kSeq, Rotation::forward, ids.view());
      EXPECT_LT(relative_error(explicit_rows.values(), reference(x.values(), given, 500)),
                tolerance);

      rotary(turned.view(), table, kSeq, Rotation::inverse);
      EXPECT_LT(relative_error(turned.values(), x.values()), 2 * tolerance);
    }
  }
}

TEST(Rotary, ProductsDependOnDistanceAlone) {
  const RotaryTable table = placed({64, kDim});
  const auto q = TestTensor::random({1, kDim}, DType::f32, 1);
  const auto k = TestTensor::random({1, kDim}, DType::f32, 2);
  const auto product = [&](std::int32_t at_q, std::int32_t at_k) {
    auto a = q;
    auto b = k;
    const validation::TestIds q_at({at_q}), k_at({at_k});
    rotary(a.view(), table, 1, Rotation::forward, q_at.view());
    rotary(b.view(), table, 1, Rotation::forward, k_at.view());
    double sum = 0;
    for (std::size_t i = 0; i < kDim; ++i) sum += a.values()[i] * b.values()[i];
    return sum;
  };
  EXPECT_NEAR(product(9, 4), product(60, 55), 1e-5);
  EXPECT_GT(std::abs(product(9, 4) - product(9, 5)), 1e-3);
}

TEST(Rotary, RefusesWhatDoesNotFit) {
  EXPECT_THROW(RotaryTable(4, 7), Error);
  const RotaryTable table(4, 8);
  const TestTensor x({5, 16}, DType::f32);
  EXPECT_THROW(rotary(x.view(), table, 5, Rotation::forward), Error);
  if (validation::test_space() == MemorySpace::device) {  // the table was not placed there
    const TestTensor fits({4, 16}, DType::f32);
    EXPECT_THROW(rotary(fits.view(), table, 4, Rotation::forward), Error);
  }
  const TestTensor odd({4, 12}, DType::f32);
  EXPECT_THROW(rotary(odd.view(), table, 4, Rotation::forward), Error);
}

}  // namespace
}  // namespace trireme::kernels
