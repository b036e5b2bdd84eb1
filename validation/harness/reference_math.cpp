#include "validation/harness/reference_math.hpp"

#include "kernels/base/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace trireme::validation {
namespace {

constexpr std::byte kGap{0xA5};

double read(const std::byte* p, DType type) {
  switch (type) {
    case DType::f32: return *reinterpret_cast<const float*>(p);
    case DType::f64: return *reinterpret_cast<const double*>(p);
    case DType::bf16: return static_cast<float>(*reinterpret_cast<const BFloat16*>(p));
    case DType::f16: return static_cast<float>(*reinterpret_cast<const Float16*>(p));
    default: fail(Exit::kUnexpected, "no test values of {}", name_of(type));
  }
}

void write(std::byte* p, DType type, double value) {
  const auto rounded = static_cast<float>(value);
  switch (type) {
    case DType::f32: *reinterpret_cast<float*>(p) = rounded; return;
    case DType::f64: *reinterpret_cast<double*>(p) = value; return;
    case DType::bf16: *reinterpret_cast<BFloat16*>(p) = BFloat16(rounded); return;
    case DType::f16: *reinterpret_cast<Float16*>(p) = Float16(rounded); return;
    default: fail(Exit::kUnexpected, "no test values of {}", name_of(type));
  }
}

/// Sum of three uniforms in (-1, 1): variance 1, bounded, the same on every machine.
double normal_like(std::uint64_t seed, std::uint64_t index) {
  const auto words = Philox(seed).at(index, 0x7e57);
  double sum = 0;
  for (std::size_t i = 0; i < 3; ++i) sum += 2.0 * static_cast<double>(uniform_from(words[i])) - 1;
  return sum;
}

}  // namespace

TestTensor::TestTensor(Shape shape, DType dtype, std::int64_t stride)
    : shape_(shape),
      dtype_(dtype),
      stride_(stride ? stride : shape[-1]),
      bytes_(std::vector<std::byte>(
          static_cast<std::size_t>(shape.rows() * stride_) * size_of(dtype), kGap)) {
  for (std::int64_t r = 0; r < shape.rows(); ++r)
    for (std::int64_t c = 0; c < shape[-1]; ++c) set(r, c, 0);
}

TestTensor TestTensor::random(Shape shape, DType dtype, std::uint64_t seed, double scale,
                              std::int64_t stride) {
  TestTensor tensor(shape, dtype, stride);
  const std::int64_t width = shape[-1];
  for (std::int64_t r = 0; r < shape.rows(); ++r)
    for (std::int64_t c = 0; c < width; ++c)
      tensor.set(r, c, scale * normal_like(seed, static_cast<std::uint64_t>(r * width + c)));
  return tensor;
}

TestTensor TestTensor::from(const std::vector<double>& values, Shape shape, DType dtype,
                            std::int64_t stride) {
  TestTensor tensor(shape, dtype, stride);
  const std::int64_t width = shape[-1];
  for (std::int64_t r = 0; r < shape.rows(); ++r)
    for (std::int64_t c = 0; c < width; ++c)
      tensor.set(r, c, values[static_cast<std::size_t>(r * width + c)]);
  return tensor;
}

TensorView TestTensor::view() const {
  return {bytes_.view(), shape_, dtype_, stride_, test_space()};
}

std::vector<double> TestTensor::values() const {
  std::vector<double> out;
  out.reserve(static_cast<std::size_t>(shape_.elements()));
  const auto size = static_cast<std::int64_t>(size_of(dtype_));
  const std::byte* const bytes = bytes_.read().data();
  for (std::int64_t r = 0; r < shape_.rows(); ++r)
    for (std::int64_t c = 0; c < shape_[-1]; ++c)
      out.push_back(read(bytes + (r * stride_ + c) * size, dtype_));
  return out;
}

void TestTensor::set(std::int64_t row, std::int64_t column, double value) {
  std::byte element[8];
  write(element, dtype_, value);
  const std::size_t size = size_of(dtype_);
  bytes_.write(static_cast<std::size_t>(row * stride_ + column) * size, element, size);
}

bool TestTensor::gaps_intact() const {
  const auto size = static_cast<std::int64_t>(size_of(dtype_));
  const auto& bytes = bytes_.read();
  for (std::int64_t r = 0; r < shape_.rows(); ++r)
    for (std::int64_t b = (r * stride_ + shape_[-1]) * size; b < (r + 1) * stride_ * size; ++b)
      if (bytes[static_cast<std::size_t>(b)] != kGap) return false;
  return true;
}

double relative_error(const std::vector<double>& got, const std::vector<double>& want) {
  if (got.size() != want.size()) return std::numeric_limits<double>::infinity();
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  const double error = difference == 0 ? 0 : std::sqrt(difference / norm);
  return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

std::vector<double> reference_gemm(const std::vector<double>& a, const std::vector<double>& b,
                                   std::int64_t m, std::int64_t n, std::int64_t k, bool transpose_a,
                                   bool transpose_b) {
  std::vector<double> c(static_cast<std::size_t>(m * n));
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t l = 0; l < k; ++l) {
      const double value = a[static_cast<std::size_t>(transpose_a ? l * m + i : i * k + l)];
      for (std::int64_t j = 0; j < n; ++j)
        c[static_cast<std::size_t>(i * n + j)] +=
            value * b[static_cast<std::size_t>(transpose_b ? j * k + l : l * n + j)];
    }
  return c;
}

std::vector<double> finite_differences(const std::function<double(const std::vector<double>&)>& f,
                                       std::vector<double> x,
                                       const std::vector<std::size_t>& elements, double h) {
  std::vector<double> gradient;
  for (const std::size_t i : elements) {
    const double kept = x[i];
    x[i] = kept + h;
    const double above = f(x);
    x[i] = kept - h;
    const double below = f(x);
    x[i] = kept;
    gradient.push_back((above - below) / (2 * h));
  }
  return gradient;
}

}  // namespace trireme::validation
