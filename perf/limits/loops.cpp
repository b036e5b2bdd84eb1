#include "perf/limits/loops.hpp"

#include <immintrin.h>

#include <cstddef>

namespace trireme::perf {
namespace {

// Sums in flight: enough to cover the latency of a multiply-add (4 or 5 cycles) at two a cycle.
constexpr int kSums = 12;

float total(const float* values, int count) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += values[i];
  return sum;
}

volatile float sink;  // what the loops computed, so that they are not left out

double multiply_256(std::int64_t rounds) {
  __m256 sums[kSums];
  for (__m256& sum : sums) sum = _mm256_set1_ps(0.5f);
  const __m256 a = _mm256_set1_ps(0.999f);
  const __m256 b = _mm256_set1_ps(0.001f);
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12  // kSums: the sums stay in registers
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, a, b);
  alignas(32) float lanes[8 * kSums];
  for (int i = 0; i < kSums; ++i) _mm256_store_ps(lanes + 8 * i, sums[i]);
  sink = total(lanes, 8 * kSums);
  return 2.0 * 8 * kSums * static_cast<double>(rounds);
}

__attribute__((target("avx512f"))) double multiply_512(std::int64_t rounds) {
  __m512 sums[kSums];
  for (__m512& sum : sums) sum = _mm512_set1_ps(0.5f);
  const __m512 a = _mm512_set1_ps(0.999f);
  const __m512 b = _mm512_set1_ps(0.001f);
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12  // kSums: the sums stay in registers
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(sum, a, b);
  alignas(64) float lanes[16 * kSums];
  for (int i = 0; i < kSums; ++i) _mm512_store_ps(lanes + 16 * i, sums[i]);
  sink = total(lanes, 16 * kSums);
  return 2.0 * 16 * kSums * static_cast<double>(rounds);
}

__attribute__((target("avx512f,avx512bf16"))) double dot_512(std::int64_t rounds) {
  __m512 sums[kSums];
  for (__m512& sum : sums) sum = _mm512_set1_ps(0.0f);
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(-0.5f));
  const __m512bh b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.25f), _mm512_set1_ps(0.25f));
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12  // kSums: the sums stay in registers
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, a, b);
  alignas(64) float lanes[16 * kSums];
  for (int i = 0; i < kSums; ++i) _mm512_store_ps(lanes + 16 * i, sums[i]);
  sink = total(lanes, 16 * kSums);
  return 2.0 * 32 * kSums * static_cast<double>(rounds);
}

}  // namespace

double multiply_fp32(std::int64_t rounds) {
  return __builtin_cpu_supports("avx512f") ? multiply_512(rounds) : multiply_256(rounds);
}

double multiply_bf16(std::int64_t rounds) {
  return __builtin_cpu_supports("avx512bf16") ? dot_512(rounds) : 0;
}

float read_all(std::span<const float> values) {
  constexpr std::size_t kStride = 64;
  __m256 sums[8] = {};
  for (std::size_t i = 0; i + kStride <= values.size(); i += kStride)
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j)
      sums[j] = _mm256_add_ps(sums[j], _mm256_loadu_ps(values.data() + i + 8 * j));
  alignas(32) float lanes[64];
  for (int j = 0; j < 8; ++j) _mm256_store_ps(lanes + 8 * j, sums[j]);
  return total(lanes, 64);
}

void update_all(std::span<float> a, std::span<const float> b) {
  float* __restrict to = a.data();
  const float* __restrict from = b.data();
  const std::size_t count = a.size();
#pragma omp simd
  for (std::size_t i = 0; i < count; ++i) to[i] += 0.5f * from[i];
}

}  // namespace trireme::perf
