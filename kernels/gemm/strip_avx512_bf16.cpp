// Products of strips of bf16 with AVX-512 BF16: each instruction adds two products a sum. Compiled
// for it: raw pointers and internal linkage only.

#include "kernels/gemm/strip_loops.hpp"

#include <immintrin.h>

namespace trireme::kernels {
namespace {

struct Avx512Bf16 {
  using Vector = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kRows = 14;
  static constexpr int kPair = 2;
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Vector v) { _mm512_storeu_ps(to, v); }
  static __m512bh units(const std::uint32_t* from) {
    return reinterpret_cast<__m512bh>(_mm512_load_si512(from));
  }
  static __m512bh broadcast(const std::uint32_t* from) {
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(*from)));
  }
  static Vector multiply_add(__m512bh x, __m512bh y, Vector sum) {
    return _mm512_dpbf16_ps(sum, x, y);
  }
};

}  // namespace

const StripKernels& strip_kernels_avx512_bf16() { return kKernels<Avx512Bf16>; }

}  // namespace trireme::kernels
