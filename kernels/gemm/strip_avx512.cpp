// Products of strips with AVX-512. Compiled for it: raw pointers and internal linkage only.

#include "kernels/gemm/strip_loops.hpp"

#include <immintrin.h>

namespace trireme::kernels {
namespace {

/// 14 x 32 sums fill 28 of 32 registers.
struct Avx512 {
  using Vector = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kRows = 14;
  static constexpr int kPair = 1;
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Vector v) { _mm512_storeu_ps(to, v); }
  static Vector units(const std::uint32_t* from) {
    return _mm512_load_ps(reinterpret_cast<const float*>(from));
  }
  static Vector broadcast(const std::uint32_t* from) {
    return _mm512_set1_ps(*reinterpret_cast<const float*>(from));
  }
  static Vector multiply_add(Vector x, Vector y, Vector sum) { return _mm512_fmadd_ps(x, y, sum); }
};

}  // namespace

const StripKernels& strip_kernels_avx512() { return kKernels<Avx512>; }

}  // namespace trireme::kernels
