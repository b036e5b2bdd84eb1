#pragma once
// A pseudo-random permutation of [0, size) in constant memory: a Feistel network (Luby and Rackoff,
// "How to construct pseudorandom permutations from pseudorandom functions", 1988) over the next
// even number of bits, with Philox as its round function, walked along its cycle until it lands
// inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). The domain is less
// than 4 x size, so a walk takes fewer than 4 steps on average.

#include "kernels/base/random.hpp"

#include <bit>
#include <cstdint>

namespace trireme::io {

class Permutation {
 public:
  /// The permutation number (seed, stream); size >= 1.
  Permutation(std::uint64_t seed, std::uint64_t stream, std::int64_t size)
      : philox_(seed),
        stream_(stream),
        size_(static_cast<std::uint64_t>(size)),
        half_bits_((static_cast<int>(std::bit_width(size_ - 1)) + 1) / 2) {}

  /// Image of index, which is in [0, size).
  std::int64_t operator()(std::int64_t index) const {
    auto value = static_cast<std::uint64_t>(index);
    do value = scramble(value);
    while (value >= size_);
    return static_cast<std::int64_t>(value);
  }

 private:
  static constexpr std::uint64_t kRounds = 6;

  std::uint64_t scramble(std::uint64_t value) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = value >> half_bits_;
    std::uint64_t right = value & mask;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      // half_bits_ <= 32, so round and right share one 64-bit counter.
      const std::uint64_t mixed = philox_.at(right | round << 32, stream_)[0];
      const std::uint64_t next = left ^ (mixed & mask);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  Philox philox_;
  std::uint64_t stream_;
  std::uint64_t size_;
  int half_bits_;
};

}  // namespace trireme::io
