#include "kernels/base/checked.hpp"
#include "kernels/base/device_backend.hpp"
#include "kernels/base/parallel.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/fp8/fp8_cuda.hpp"
#include "kernels/gemm/gemm_sizes.hpp"

#include <array>
#include <cstdlib>

namespace trireme::kernels {
namespace {

/// x in fp8 and back in its own dtype, which has room for all of it: a power of two times numbers
/// of fewer bits.
template <class F8, class T>
void widen(const Fp8Tensor& from, const TensorView& to) {
  std::array<float, 256> value;
  for (std::size_t code = 0; code < value.size(); ++code)
    value[code] =
        static_cast<float>(F8::of_bits(static_cast<std::uint8_t>(code))) * from.scale->unscale;
  const F8* source = from.values.as<F8>();
  T* target = to.as<T>();
  const std::int64_t width = to.width();
  for_rows("fp8_widen", to.rows(), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      for (std::int64_t c = 0; c < width; ++c)
        target[r * width + c] = T(value[source[r * from.values.stride() + c].bits]);
  });
}

TensorView rounded(const TensorView& x, DType format, ScratchFrame& frame) {
  const std::int64_t stride = round_up(x.width(), kFp8Alignment);
  Fp8Scale scale;
  const Fp8Tensor small{
      {frame.take<std::uint8_t>(x.rows() * stride), {x.rows(), x.width()}, format, stride}, &scale};
  quantize(x, small);
  const TensorView made(frame.take_bytes(static_cast<std::size_t>(x.bytes())),
                        {x.rows(), x.width()}, x.dtype);
  with_storage_type(x.dtype, "an operand", [&]<class T>(T) {
    format == DType::e4m3 ? widen<Float8E4M3, T>(small, made) : widen<Float8E5M2, T>(small, made);
  });
  return made;
}

}  // namespace

std::int64_t gemm_fp8_workspace(std::int64_t m, std::int64_t n, std::int64_t k) {
  return kGemmWorkspace + fp8_operand_bytes(m, k) + fp8_operand_bytes(n, k);
}

void gemm_fp8(const TensorView& c, const TensorView& a, const TensorView& b,
              const Fp8Formats& formats, const GemmOptions& options) {
  const auto is_fp8 = [](DType type) { return type == DType::e4m3 || type == DType::e5m2; };
  check(is_fp8(formats.a) && is_fp8(formats.b) &&
            (formats.a == DType::e4m3 || formats.b == DType::e4m3),
        Exit::kUnexpected, "a product of {} and {} was asked for, expected e4m3 with e4m3 or e5m2",
        name_of(formats.a), name_of(formats.b));
  check(c.width() % kFp8Alignment == 0, Exit::kUnexpected,
        "a product in fp8 has {} columns, expected a multiple of {}", c.width(), kFp8Alignment);
  if (on_device("gemm_fp8", {&c, &a, &b, &options.bias})) {
    const GemmSizes sizes = checked_sizes(c, a, b, options);
    if (sizes.m > 0 && sizes.n > 0) device_kernels().gemm_fp8(c, a, b, formats, options);
    return;
  }
  ScratchFrame frame;
  gemm(c, rounded(a, formats.a, frame), rounded(b, formats.b, frame), options);
}

void expect_fp8_products(MemorySpace space) {
  if (space == MemorySpace::host) return;
  const DeviceInfo device = describe_device(selected_device());
  constexpr double kFirst = 8.9;
  check(std::atof(device.architecture.c_str()) >= kFirst, Exit::kUsage,
        "products in fp8 need a GPU of compute capability 8.9 or more (Ada, Hopper), found {} "
        "with {}; set fp8.enabled to false",
        device.name, device.architecture);
}

}  // namespace trireme::kernels
