#pragma once
// One dense product on raw pointers, as the library behind it runs it. Private to kernels/: gemm
// and the tiles of attention are built on it.

#include "kernels/base/dtype.hpp"

#include <bit>
#include <cstddef>
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

/// Hashes a key; a library's own conditions are mixed in behind it.
class ProductHash {
 public:
  explicit ProductHash(const ProductKey& p) {
    for (const std::int64_t size : {p.m, p.n, p.k, p.lda, p.ldb, p.ldc})
      mix(static_cast<std::uint64_t>(size));
    mix(std::bit_cast<std::uint32_t>(p.alpha));
    mix(static_cast<std::uint64_t>(p.operand) | static_cast<std::uint64_t>(p.result) << 8 |
        (p.bias ? static_cast<std::uint64_t>(*p.bias) + 1 : 0) << 16 |
        static_cast<std::uint64_t>(p.transpose_a | p.transpose_b << 1 | p.accumulate << 2) << 24);
  }
  void mix(std::uint64_t more) {
    value_ = (value_ ^ more) * 0x9e3779b97f4a7c15ull;
    value_ ^= value_ >> 29;
  }
  std::size_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325ull;
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
