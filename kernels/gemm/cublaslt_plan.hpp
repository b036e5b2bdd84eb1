#pragma once
// One product as cuBLASLt runs it: described and its algorithm chosen at the first call with a key,
// then kept. Private to the files of kernels/gemm that call cuBLASLt.

#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/product.hpp"

#include <cublasLt.h>

namespace trireme::kernels::cublaslt {

/// What the library does with a sum, besides adding a bias to it, before it stores it.
enum class Epilogue : std::uint8_t {
  none,
  gelu,           ///< stores it in aux, and its GELU (the one with tanh) in c
  gelu_gradient,  ///< stores it times GELU's slope at aux in c
};

/// What a plan depends on. `product.operand` says nothing: the operands may differ in fp8.
/// `product.bias` only where the library adds it, in the result's type.
struct Key {
  ProductKey product;
  DType a = DType::f32;
  DType b = DType::f32;
  std::uint32_t align_a = 0;
  std::uint32_t align_b = 0;
  std::uint32_t align_c = 0;
  std::int64_t aux_stride = 0;  ///< elements between rows of aux, which is of c's type
  Epilogue epilogue = Epilogue::none;
  bool tf32 = false;
  friend bool operator==(const Key&, const Key&) = default;
};

/// Bytes that divide an address, at most kAligned: no kernel asks for more (16-byte accesses; the
/// bulk copies of Hopper start at 16 bytes, too). A larger number would only be told to the choice
/// of an algorithm, where tensors that lie elsewhere in their arena would give other bits.
inline constexpr std::uint32_t kAligned = 16;
std::uint32_t alignment_of(const void* p);

/// What changes from call to call.
struct Operands {
  ProductPointers pointers;          ///< bias and aux begin at multiples of kAligned
  void* aux = nullptr;               ///< [m, n], written by Epilogue::gelu, read by gelu_gradient
  const float* unscale_a = nullptr;  ///< fp8: what 1 in a stands for, in device memory
  const float* unscale_b = nullptr;
};

/// Gives c = alpha op(a) op(b) (+ bias) (+ c), changed by the epilogue, to the current stream.
/// `workspace` has kGemmWorkspace bytes. Where the library has no algorithm for the key: false for
/// one with an epilogue, which its plan remembers, else a bug report that names the product.
bool run(const Key& key, const Operands& operands, float alpha, bool accumulate, void* workspace);

}  // namespace trireme::kernels::cublaslt
