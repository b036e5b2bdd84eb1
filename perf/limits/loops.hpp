#pragma once
// The loops that set the limits of a machine: products from registers, and bytes from memory.
// Each is for one thread and picks the widest instructions that the CPU has.

#include <cstdint>
#include <span>

namespace trireme::perf {

/// Rounds of fused multiply-adds on fp32 values that stay in registers; returns their flops.
double multiply_fp32(std::int64_t rounds);

/// The same with bf16 dot products into fp32 sums; 0 where the CPU has none (AVX512-BF16).
double multiply_bf16(std::int64_t rounds);

/// Reads `values` once, front to back; the sum keeps the compiler from leaving the reads out.
float read_all(std::span<const float> values);

/// a += q b: 12 bytes an element, what an optimizer's update looks like to memory.
void update_all(std::span<float> a, std::span<const float> b);

}  // namespace trireme::perf
