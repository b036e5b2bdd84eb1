#pragma once
// What kernel tests share: owned tensors with guarded gaps between rows, errors between tensors,
// and plain float64 loops that are the reference of the products and of attention.

#include "kernels/base/tensor_view.hpp"
#include "validation/harness/device_fixture.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace trireme::validation {

/// A tensor of any floating dtype that owns its memory, in the test's space. Bytes outside its rows
/// hold a pattern that gaps_intact() looks for after a kernel has run.
class TestTensor {
 public:
  /// Zeros. `stride` as in TensorView; 0 = dense.
  TestTensor(Shape shape, DType dtype, std::int64_t stride = 0);
  /// Normal-like values times `scale`, a pure function of seed and index, rounded to dtype.
  static TestTensor random(Shape shape, DType dtype, std::uint64_t seed, double scale = 1,
                           std::int64_t stride = 0);
  static TestTensor from(const std::vector<double>& values, Shape shape, DType dtype,
                         std::int64_t stride = 0);

  TensorView view() const;
  /// Row by row, without gaps.
  std::vector<double> values() const;
  void set(std::int64_t row, std::int64_t column, double value);
  bool gaps_intact() const;
  std::int64_t stride() const { return stride_; }

 private:
  Shape shape_;
  DType dtype_;
  std::int64_t stride_;
  SpaceBytes bytes_;
};

/// |got - want| / |want| in Frobenius norms; infinity when sizes differ or got is not finite.
double relative_error(const std::vector<double>& got, const std::vector<double>& want);

/// alpha op(a) op(b) for dense row-major [m, k] and [k, n], or their stored transposes.
std::vector<double> reference_gemm(const std::vector<double>& a, const std::vector<double>& b,
                                   std::int64_t m, std::int64_t n, std::int64_t k,
                                   bool transpose_a = false, bool transpose_b = false);

/// d f / d x[i] by central differences with step `h`, for the given elements.
std::vector<double> finite_differences(const std::function<double(const std::vector<double>&)>& f,
                                       std::vector<double> x,
                                       const std::vector<std::size_t>& elements, double h = 1e-5);

}  // namespace trireme::validation
