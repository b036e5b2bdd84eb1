// Where the factor k of bound() comes from: a residual chain of products, forward and backward, run
// with different orders of summation and nothing else different; and that a dropped micro-batch, a
// forgotten average and a shuffled shard exceed the bound tenfold.

#include "validation/harness/bound.hpp"

#include "kernels/gemm/gemm.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/harness/runtime_fixture.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace trireme::validation {
namespace {

using kernels::gemm;

const auto* const kRuntime = with_runtime(1);

constexpr std::int64_t kRows = 128;
constexpr std::int64_t kWidth = 96;
constexpr int kLayers = 6;

/// How a run orders its sums: parts of the depth of each product, each rounded to the storage type
/// before they are added (as row-parallel layers exchange them), and micro-batches whose weight
/// gradients are added up.
struct Order {
  std::int64_t depth_parts = 1;
  std::int64_t micro_batches = 1;
};

struct Chain {
  DType dtype;
  Order order;
  int dropped_micro_batch = -1;  ///< planted fault
  std::vector<std::vector<double>> gradients = {};

  TestTensor weight(int layer) const {
    return TestTensor::random({kWidth, kWidth}, dtype, static_cast<std::uint64_t>(100 + layer),
                              0.5 / std::sqrt(static_cast<double>(kWidth)));
  }

  /// x w (or x w^T), the sum over parts of the depth.
  std::vector<double> product(const TestTensor& x, const TestTensor& w, bool transpose) const {
    std::vector<double> sum(kRows * kWidth);
    const std::int64_t depth = kWidth / order.depth_parts;
    for (std::int64_t p = 0; p < order.depth_parts; ++p) {
      const TestTensor part({kRows, kWidth}, order.depth_parts > 1 ? dtype : DType::f32);
      const auto w_part = transpose ? w.view().column_slice(p * depth, depth)
                                    : w.view().row_slice(p * depth, depth);
      gemm(part.view(), x.view().column_slice(p * depth, depth), w_part,
           {.transpose_b = transpose});
      const auto values = part.values();
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
    }
    return sum;
  }

  /// x + y in storage precision.
  TestTensor add(const TestTensor& x, std::vector<double> y) const {
    const auto old = x.values();
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += old[i];
    return TestTensor::from(y, {kRows, kWidth}, dtype);
  }

  void run() {
    std::vector<TestTensor> x{TestTensor::random({kRows, kWidth}, dtype, 1)};
    for (int l = 0; l < kLayers; ++l)
      x.push_back(add(x.back(), product(x.back(), weight(l), false)));
    auto dx = TestTensor::random({kRows, kWidth}, dtype, 2);
    gradients.resize(kLayers);
    for (int l = kLayers; l-- > 0;) {
      const TestTensor dw({kWidth, kWidth}, DType::f32);
      const std::int64_t rows = kRows / order.micro_batches;
      for (int m = 0; m < order.micro_batches; ++m)
        if (m != dropped_micro_batch)
          gemm(dw.view(), x[static_cast<std::size_t>(l)].view().row_slice(m * rows, rows),
               dx.view().row_slice(m * rows, rows), {.transpose_a = true, .accumulate = m > 0});
      gradients[static_cast<std::size_t>(l)] = dw.values();
      dx = add(dx, product(dx, weight(l), true));
    }
  }
};

std::vector<std::vector<double>> gradients_of(Chain chain) {
  chain.run();
  return chain.gradients;
}

/// Largest error in units of 1.03^(L+1-l) eps.
double factor(const std::vector<std::vector<double>>& got,
              const std::vector<std::vector<double>>& want, DType dtype) {
  double worst = 0;
  for (int l = 0; l < kLayers; ++l) {
    const auto at = static_cast<std::size_t>(l);
    const double unit = bound(dtype, l + 1, kLayers) / bound_factor(dtype);
    worst = std::max(worst, relative_error(got[at], want[at]) / unit);
  }
  return worst;
}

TEST(Bound, FactorIsThreeTimesTheErrorOfAnotherOrder) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const auto one = gradients_of({dtype, {}});
    double measured = 0;
    for (const Order order : {Order{2, 1}, Order{4, 2}, Order{8, 8}})
      measured = std::max(measured, factor(gradients_of({dtype, order}), one, dtype));
    std::printf("%s: largest error %.3f eps, k = %.3f\n", name_of(dtype).data(), measured,
                bound_factor(dtype));
    EXPECT_LT(measured, bound_factor(dtype) / 2) << name_of(dtype);
    EXPECT_GT(measured, 0) << "the orders do not differ";
  }
}

TEST(Bound, FaultsExceedItTenfold) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const auto right = gradients_of({dtype, {1, 4}});
    const double limit = 10 * bound_factor(dtype);
    EXPECT_GT(factor(gradients_of({dtype, {1, 4}, 2}), right, dtype), limit);
    auto average = right;  // a factor 1/n with n = 2 forgotten
    for (auto& gradient : average)
      for (double& value : gradient) value *= 2;
    EXPECT_GT(factor(average, right, dtype), limit);
    auto shuffled = right;  // two halves of a tensor have changed places
    for (auto& gradient : shuffled)
      std::rotate(gradient.begin(), gradient.begin() + kWidth * kWidth / 2, gradient.end());
    EXPECT_GT(factor(shuffled, right, dtype), limit);
  }
}

TEST(Bound, GrowsTowardsTheInputAndWithCancellation) {
  EXPECT_GT(bound(DType::bf16, 1, 12), bound(DType::bf16, 12, 12));
  EXPECT_GT(bound(DType::f32, 3, 12, 100.0, 1.0), 100 * epsilon_of(DType::f32));
  EXPECT_THROW(bound(DType::i32, 1, 1), Error);
}

}  // namespace
}  // namespace trireme::validation
