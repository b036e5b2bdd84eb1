#include "kernels/fp8/fp8.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/fp8/scale.hpp"

#include <algorithm>

namespace trireme::kernels {
namespace {

constexpr std::int64_t kGrain = 16;  // rows

void check_quantize(const TensorView& x, const Fp8Tensor& out, bool transpose) {
  const TensorView& values = out.values;
  const Shape want = transpose ? Shape{x.width(), x.rows()} : Shape{x.rows(), x.width()};
  expect_shape(values, want, "the fp8 copy of a tensor");
  check(values.dtype == DType::e4m3 || values.dtype == DType::e5m2, Exit::kUnexpected,
        "expected e4m3 or e5m2 for an fp8 copy, found {}", name_of(values.dtype));
  const bool aligned = values.stride() % kFp8Alignment == 0 &&
                       reinterpret_cast<std::uintptr_t>(values.data) % kFp8Alignment == 0;
  check(aligned && out.scale, Exit::kUnexpected,
        "expected rows of an fp8 copy at multiples of {} bytes and a place for its scale, found "
        "rows {} bytes apart",
        kFp8Alignment, values.stride());
}

/// The largest magnitude_bits.
struct Largest {
  std::uint32_t bits = 0;
  Largest& operator+=(const Largest& other) {
    bits = std::max(bits, other.bits);
    return *this;
  }
};

template <class T>
Largest largest_of(const TensorView& x) {
  const T* data = x.as<T>();
  const std::int64_t width = x.width();
  return sum_chunks<Largest>("fp8_largest", x.rows(), kGrain,
                             [&](std::int64_t begin, std::int64_t end) {
                               constexpr std::int64_t kBlock = 1024;
                               alignas(64) float row[kBlock];
                               Largest found;
                               for (std::int64_t r = begin; r < end; ++r)
                                 for (std::int64_t c = 0; c < width; c += kBlock) {
                                   const std::int64_t count = std::min(kBlock, width - c);
                                   load_row(data + r * x.stride() + c, row, count);
                                   std::uint32_t most = 0;
#pragma omp simd reduction(max : most)
                                   for (std::int64_t k = 0; k < count; ++k)
                                     most = std::max(most, magnitude_bits(row[k]));
                                   found += {most};
                                 }
                               return found;
                             });
}

/// Element (r, c) of x goes to values[r * down + c * right].
template <class T, class F8>
void convert(const TensorView& x, F8* values, std::int64_t down, std::int64_t right, float scale) {
  const T* data = x.as<T>();
  const std::int64_t width = x.width();
  for_rows("fp8_convert", x.rows(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      for (std::int64_t c = 0; c < width; ++c)
        values[r * down + c * right] = F8(static_cast<float>(data[r * x.stride() + c]) * scale);
  });
}

template <class F8>
void quantize_to(const TensorView& x, const Fp8Tensor& out, bool transpose) {
  const TensorView& values = out.values;
  F8* data = values.as<F8>();
  for (std::int64_t r = 0; r < values.rows(); ++r)
    std::fill(data + r * values.stride() + values.width(), data + (r + 1) * values.stride(),
              F8(0.0f));
  const std::int64_t down = transpose ? 1 : values.stride();
  const std::int64_t right = transpose ? values.stride() : 1;
  with_storage_type(x.dtype, "what becomes fp8", [&]<class T>(T) {
    const std::uint32_t largest = largest_of<T>(x).bits;
    const Fp8Factors factors = fp8_factors(largest, values.dtype);
    *out.scale = {factors.unscale, std::bit_cast<float>(largest)};
    convert<T>(x, data, down, right, factors.scale);
  });
}

}  // namespace

void quantize(const TensorView& x, const Fp8Tensor& out, bool transpose) {
  check_quantize(x, out, transpose);
  if (on_device("quantize", {&x, &out.values})) return device_kernels().quantize(x, out, transpose);
  if (out.values.dtype == DType::e4m3)
    quantize_to<Float8E4M3>(x, out, transpose);
  else
    quantize_to<Float8E5M2>(x, out, transpose);
}

}  // namespace trireme::kernels
