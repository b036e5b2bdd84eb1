#pragma once
// One product as cuBLASLt runs it: described and its algorithm chosen at the first call with a key,
// then kept. Private to the files of kernels/gemm that call cuBLASLt.

#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/product.hpp"

#include <cublasLt.h>

namespace trireme::kernels::cublaslt {

/// What a plan depends on. `product.operand` says nothing: the operands may differ in fp8.
/// `product.bias` only where the library adds it, in the result's type.
struct Key {
  ProductKey product;
  DType a = DType::f32;
  DType b = DType::f32;
  std::uint32_t align_a = 0;
  std::uint32_t align_b = 0;
  std::uint32_t align_c = 0;
  bool tf32 = false;
  friend bool operator==(const Key&, const Key&) = default;
};

/// Bytes that divide an address, at most 256: fast kernels want 16.
std::uint32_t alignment_of(const void* p);

/// What changes from call to call.
struct Operands {
  ProductPointers pointers;
  const float* unscale_a = nullptr;  ///< fp8: what 1 in a stands for, in device memory
  const float* unscale_b = nullptr;
};

/// Gives c = alpha op(a) op(b) (+ bias) (+ c) to the current stream. `workspace` has
/// kGemmWorkspace bytes. No algorithm for the key is a bug report that names it.
void run(const Key& key, const Operands& operands, float alpha, bool accumulate, void* workspace);

}  // namespace trireme::kernels::cublaslt
