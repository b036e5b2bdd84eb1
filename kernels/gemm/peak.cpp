// What dense products reach here, and by which path.

#include "kernels/base/device.hpp"
#include "kernels/base/device_backend.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/base/runtime.hpp"
#include "kernels/elementwise/initialize.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/product.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

namespace trireme::kernels {
namespace {

/// A matrix in either space.
class Operand {
 public:
  Operand(Shape shape, DType dtype, MemorySpace space) : view_(nullptr, shape, dtype, 0, space) {
    if (space == MemorySpace::host) {
      host_.resize(static_cast<std::size_t>(view_.bytes()));
      view_.data = host_.data();
    } else {
      device_ = DeviceMemory(view_.bytes());
      view_.data = device_.data();
    }
  }
  const TensorView& view() const { return view_; }

 private:
  TensorView view_;
  std::vector<std::byte> host_;
  DeviceMemory device_;
};

using Sizes = std::array<std::int64_t, 3>;  // m, n, k
constexpr std::array<Sizes, 3> kHostSizes{
    {{1024, 1024, 1024}, {1024, 2304, 768}, {2048, 3072, 1024}}};
constexpr std::array<Sizes, 3> kDeviceSizes{
    {{4096, 4096, 4096}, {8192, 4096, 8192}, {8192, 8192, 8192}}};

}  // namespace

std::string gemm_path(DType dtype, MemorySpace space) {
  if (space == MemorySpace::device) return describe_device(selected_device()).name;
  const std::string isa = product_isa();
  if (has_native_products(dtype)) return fmt::format("oneDNN {}", isa);
  return fmt::format("fp32 products of widened tiles (oneDNN {})", isa);
}

double measure_gemm_peak(DType dtype, double seconds, MemorySpace space, bool tf32) {
  using Clock = std::chrono::steady_clock;
  const bool host = space == MemorySpace::host;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const auto begin = Clock::now();
  double best = 0;
  for (const auto [m, n, k] : host ? kHostSizes : kDeviceSizes) {
    if (best > 0 && since(begin) > seconds) break;
    const Operand a({m, k}, dtype, space);
    const Operand b({n, k}, dtype, space);
    const Operand c({m, n}, dtype, space);
    fill_uniform(a.view(), -1, 1, {.seed = 1});
    fill_uniform(b.view(), -1, 1, {.seed = 2});
    const auto run = [&] {
      gemm(c.view(), a.view(), b.view(), {.transpose_b = true, .tf32 = tf32});
      if (!host) current_stream().wait();
    };
    run();  // prepares the product and touches the memory
    const auto start = Clock::now();
    do {
      const auto before = Clock::now();
      run();
      best = std::max(best, 2.0 * static_cast<double>(m * n * k) / since(before));
    } while (since(start) < seconds / static_cast<double>(kHostSizes.size()));
  }
  return best;
}

}  // namespace trireme::kernels
