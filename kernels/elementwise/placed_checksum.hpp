#pragma once
// A checksum of a tensor that can be added up from any parts of it, in any order.

#include <cstdint>

namespace trireme::kernels {

/// Elements [rows][columns] of a larger row-major matrix of f32, row r of which begin at element
/// first + r width of it.
struct PlacedRows {
  const float* values = nullptr;  ///< [rows][columns], dense, host memory
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t first = 0;
  std::int64_t width = 0;
};

/// Sum modulo 2^64 over the elements of a hash of (place in the whole, bits), so that parts that
/// cover the whole once add up to the same number however it was divided. The hash is SplitMix64's
/// finalizer (Steele, Lea, Flood, OOPSLA 2014). Synchronous, on the calling thread's threads.
std::uint64_t placed_checksum(const PlacedRows& part);

}  // namespace trireme::kernels
