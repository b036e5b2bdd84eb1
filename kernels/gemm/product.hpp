#pragma once
// One dense product on raw pointers, as the library behind it runs it. Private to kernels/: gemm
// and the tiles of attention are built on it.

#include "kernels/base/dtype.hpp"

#include <cstdint>
#include <optional>

namespace trireme::kernels {

/// Everything a prepared product depends on besides its pointers.
struct ProductKey {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::int64_t lda = 0;  ///< elements between stored rows
  std::int64_t ldb = 0;
  std::int64_t ldc = 0;
  DType operand = DType::f32;  ///< of a and b
  DType result = DType::f32;   ///< of c
  std::optional<DType> bias = {};
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;
  float alpha = 1;

  friend bool operator==(const ProductKey&, const ProductKey&) = default;
};

struct ProductPointers {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* bias = nullptr;
  void* c = nullptr;
};

/// Runs the product with the calling thread's team and returns true; returns false, without
/// touching c, where the library has no fast code for this dtype on this CPU. Prepared products are
/// kept for each thread: after the first call with a key nothing is prepared or allocated.
bool run_product(const ProductKey& key, const ProductPointers& pointers);

/// Whether products with operands of this dtype run natively (f32 always does).
bool has_native_products(DType operand);

}  // namespace trireme::kernels
