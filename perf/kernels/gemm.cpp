// Dense products over the shapes of a GPT's layers, beside this CPU's multiply-add loop, in turns.
//
//   OMP_NUM_THREADS=2 OMP_PLACES=cores OMP_PROC_BIND=close build/perf/kernels/perf_gemm [--tiny]
//
// One JSON object a line: y[m, n] = x[m, k] w[n, k]^T, the forward pass of a linear layer; rate and
// loop are the best of all turns in flop/s, the loop is 0 where the CPU has no products of the
// type.

#include "kernels/gemm/gemm.hpp"
#include "io/version.hpp"
#include "kernels/base/runtime.hpp"
#include "perf/limits/loops.hpp"
#include "perf/limits/pages.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace trireme;
using Clock = std::chrono::steady_clock;

using Shape3 = std::array<std::int64_t, 3>;  // m, n, k

/// Rows of a batch times the layers of models of width 512 and 768, the head, and two squares.
std::vector<Shape3> shapes(bool tiny) {
  if (tiny) return {{64, 96, 32}, {32, 32, 64}};
  std::vector<Shape3> all;
  for (const std::int64_t m : {512, 1024, 2048})
    for (const auto [n, k] : {std::array<std::int64_t, 2>{768, 768},
                              {2304, 768},
                              {3072, 768},
                              {768, 3072},
                              {50304, 768},
                              {512, 512},
                              {2048, 512}})
      all.push_back({m, n, k});
  all.push_back({2048, 2048, 2048});
  all.push_back({4096, 4096, 4096});
  return all;
}

double seconds_of(const auto& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// flop/s of the loop on all threads; 0 without products of this type.
double loop_rate(DType dtype) {
  constexpr std::int64_t kRounds = 1 << 16;
  double flops = 0;
  const double seconds = seconds_of([&] {
#pragma omp parallel reduction(+ : flops)
    flops += dtype == DType::f32 ? perf::multiply_fp32(kRounds) : perf::multiply_bf16(kRounds);
  });
  return flops / seconds;
}

/// The largest matrix of all shapes, filled with small numbers; zeros could be faster. Every shape
/// uses the beginning of the same three, so that their pages are touched once.
struct Matrices {
  Matrices(const std::vector<Shape3>& shapes, DType dtype)
      : x(bytes_of(shapes, dtype, 0, 2)),
        w(bytes_of(shapes, dtype, 1, 2)),
        y(bytes_of(shapes, dtype, 0, 1)) {
    for (const perf::Pages* operand : {&x, &w}) {
      const std::span<float> memory = operand->floats();
      const auto elements = static_cast<std::int64_t>(memory.size_bytes() / size_of(dtype));
      for (std::int64_t i = 0; i < elements; ++i) {
        const float value = static_cast<float>(i % 17 - 8) * 0.125f;
        if (dtype == DType::bf16)
          reinterpret_cast<BFloat16*>(memory.data())[i] = BFloat16(value);
        else
          memory[static_cast<std::size_t>(i)] = value;
      }
    }
  }

  perf::Pages x, w, y;

 private:
  /// Of the largest product of two of a shape's sizes.
  static std::size_t bytes_of(const std::vector<Shape3>& shapes, DType dtype, std::size_t rows,
                              std::size_t columns) {
    std::int64_t most = 0;
    for (const Shape3& shape : shapes) most = std::max(most, shape[rows] * shape[columns]);
    return static_cast<std::size_t>(most) * size_of(dtype);
  }
};

/// Turns of the loop and a product, at least three and for at least `seconds`.
void measure(DType dtype, const Shape3& shape, Matrices& matrices, double seconds) {
  const auto [m, n, k] = shape;
  const TensorView x{matrices.x.data(), {m, k}, dtype};
  const TensorView w{matrices.w.data(), {n, k}, dtype};
  const TensorView y{matrices.y.data(), {m, n}, dtype};
  const auto product = [&] { kernels::gemm(y, x, w, {.transpose_b = true}); };
  product();  // prepares it
  const double flops = 2.0 * static_cast<double>(m * n * k);
  double rate = 0;
  double loop = 0;
  const auto start = Clock::now();
  for (int turn = 0; turn < 3 || Clock::now() - start < std::chrono::duration<double>(seconds);
       ++turn) {
    loop = std::max(loop, loop_rate(dtype));
    rate = std::max(rate, flops / seconds_of(product));
  }
  fmt::print(R"({{"dtype": "{}", "m": {}, "n": {}, "k": {}, "rate": {:.4g}, "loop": {:.4g}}})"
             "\n",
             name_of(dtype), m, n, k, rate, loop);
}

}  // namespace

int main(int argc, char** argv) {
  const bool tiny = argc > 1 && std::string(argv[1]) == "--tiny";
  const Runtime runtime;
  const std::vector<Shape3> all = shapes(tiny);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Matrices matrices(all, dtype);
    for (const Shape3& shape : all) measure(dtype, shape, matrices, tiny ? 0 : 0.3);
  }
  return 0;
}
