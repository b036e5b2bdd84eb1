// Products of strips with AVX2 and FMA, the instructions every build may use.

#include "kernels/gemm/strip_loops.hpp"

#include <immintrin.h>

namespace trireme::kernels {
namespace {

/// 6 x 16 sums fill twelve of sixteen registers.
struct Avx2 {
  using Vector = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kRows = 6;
  static constexpr int kPair = 1;
  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Vector v) { _mm256_storeu_ps(to, v); }
  static Vector units(const std::uint32_t* from) {
    return _mm256_load_ps(reinterpret_cast<const float*>(from));
  }
  static Vector broadcast(const std::uint32_t* from) {
    return _mm256_broadcast_ss(reinterpret_cast<const float*>(from));
  }
  static Vector multiply_add(Vector x, Vector y, Vector sum) { return _mm256_fmadd_ps(x, y, sum); }
};

}  // namespace

const StripKernels& strip_kernels_avx2() { return kKernels<Avx2>; }

}  // namespace trireme::kernels
