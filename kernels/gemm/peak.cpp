// What dense products reach here, and by which path.

#include "kernels/base/row_convert.hpp"
#include "kernels/base/runtime.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/product.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

namespace trireme::kernels {

std::string gemm_path(DType dtype) {
  const std::string isa = product_isa();
  if (has_native_products(dtype)) return fmt::format("oneDNN {}", isa);
  return fmt::format("fp32 products of widened tiles (oneDNN {})", isa);
}

double measure_gemm_peak(DType dtype, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr std::array<std::array<std::int64_t, 3>, 3> kShapes{
      {{1024, 1024, 1024}, {1024, 2304, 768}, {2048, 3072, 1024}}};
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const auto begin = Clock::now();
  double best = 0;
  for (const auto [m, n, k] : kShapes) {
    if (best > 0 && since(begin) > seconds) break;
    const auto bytes_of = [&](std::int64_t elements) {
      return static_cast<std::size_t>(elements) * size_of(dtype);
    };
    std::vector<std::byte> a(bytes_of(m * k));
    std::vector<std::byte> b(bytes_of(n * k));
    std::vector<std::byte> c(bytes_of(m * n));
    const auto run = [&] {
      gemm({c.data(), {m, n}, dtype}, {a.data(), {m, k}, dtype}, {b.data(), {n, k}, dtype},
           {.transpose_b = true});
    };
    run();  // prepares the product and touches the memory
    const auto start = Clock::now();
    do {
      const auto before = Clock::now();
      run();
      best = std::max(best, 2.0 * static_cast<double>(m * n * k) / since(before));
    } while (since(start) < seconds / static_cast<double>(kShapes.size()));
  }
  return best;
}

}  // namespace trireme::kernels
