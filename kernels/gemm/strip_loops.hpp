// The loops of strip.hpp for any instruction set. Included once by each file that is compiled for
// one: everything here has internal linkage.

#include "kernels/gemm/strip.hpp"

#include <utility>

namespace trireme::kernels {
namespace {

/// Isa says how a vector of sums, of units and of broadcast units is loaded, multiplied, stored.
template <class Isa, int kRows, bool kByColumns>
void multiply_strip(const StripProduct& given) {
  const StripProduct p = given;  // c may be written without reading the rest again
  using Vector = typename Isa::Vector;
  constexpr int kLanes = Isa::kLanes;
  Vector sum[kRows][2];
  const bool whole = p.columns == 2 * kLanes;
  float edge[2 * kLanes];  // a row of c that is narrower than the panel
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const float* from = p.start;
    if (p.accumulate) {
      from = p.c + r * p.c_stride;
      if (!whole) {
        for (int j = 0; j < 2 * kLanes; ++j) edge[j] = j < p.columns ? from[j] : 0.0f;
        from = edge;
      }
    }
    sum[r][0] = from ? Isa::load(from) : Isa::zero();
    sum[r][1] = from ? Isa::load(from + kLanes) : Isa::zero();
  }
  const std::uint32_t* a = p.a;
  const std::uint32_t* b = p.panel;
  const std::int64_t a_step = kByColumns ? p.a_step : 1;
  for (std::int64_t k = 0; k < p.depth; ++k, a += a_step, b += 2 * kLanes) {
    const auto b0 = Isa::units(b);
    const auto b1 = Isa::units(b + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto x = Isa::broadcast(a + (kByColumns ? r : r * kStripStride));
      sum[r][0] = Isa::multiply_add(x, b0, sum[r][0]);
      sum[r][1] = Isa::multiply_add(x, b1, sum[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    float* to = p.c + r * p.c_stride;
    if (whole) {
      Isa::store(to, sum[r][0]);
      Isa::store(to + kLanes, sum[r][1]);
    } else {
      Isa::store(edge, sum[r][0]);
      Isa::store(edge + kLanes, sum[r][1]);
      for (int j = 0; j < p.columns; ++j) to[j] = edge[j];
    }
  }
}

template <class Isa>
struct Strips {
  using Function = void (*)(const StripProduct&);

  template <int... kLess>
  static void choose(const StripProduct& p, std::integer_sequence<int, kLess...>) {
    static constexpr Function kFunctions[][2] = {
        {multiply_strip<Isa, kLess + 1, false>, multiply_strip<Isa, kLess + 1, true>}...};
    kFunctions[p.rows - 1][p.by_columns](p);
  }
  static void multiply(const StripProduct& p) {
    choose(p, std::make_integer_sequence<int, Isa::kRows>());
  }
};

template <class Isa>
constexpr StripKernels kKernels{Isa::kRows, 2 * Isa::kLanes, Isa::kPair, Strips<Isa>::multiply};

}  // namespace
}  // namespace trireme::kernels
