#pragma once
// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A number is a pure function of its key and counter, so that any grid, order
// and number of threads draws the same ones.

#include <array>
#include <cstdint>

namespace trireme {

struct Philox {
  std::array<std::uint32_t, 2> key{};

  explicit constexpr Philox(std::uint64_t seed)
      : key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)} {}

  /// Four independent 32-bit words for one 128-bit counter.
  constexpr std::array<std::uint32_t, 4> operator()(std::array<std::uint32_t, 4> counter) const {
    std::array<std::uint32_t, 2> k = key;
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = 0xD2511F53ull * counter[0];
      const std::uint64_t b = 0xCD9E8D57ull * counter[2];
      counter = {
          static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ k[0], static_cast<std::uint32_t>(b),
          static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ k[1], static_cast<std::uint32_t>(a)};
      k[0] += 0x9E3779B9u;
      k[1] += 0xBB67AE85u;
    }
    return counter;
  }

  /// Four words for counter (index, stream): stream names what is drawn, index the element.
  constexpr std::array<std::uint32_t, 4> at(std::uint64_t index, std::uint64_t stream) const {
    return (*this)({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                    static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)});
  }
};

/// Uniform in [0, 1), 24 bits.
constexpr float uniform_from(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

}  // namespace trireme
