#include "kernels/base/dropout.hpp"

namespace trireme {
namespace {

constexpr std::int64_t kLanes = 16;

/// Philox4x32-10 of kLanes counters at once: the integers of Philox::operator(), in an order that
/// vectorises.
struct Lanes {
  std::uint32_t word[4][kLanes];

  void encrypt(std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
#pragma omp simd
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const std::uint64_t a = 0xD2511F53ull * word[0][i];
        const std::uint64_t b = 0xCD9E8D57ull * word[2][i];
        word[0][i] = static_cast<std::uint32_t>(b >> 32) ^ word[1][i] ^ key[0];
        word[1][i] = static_cast<std::uint32_t>(b);
        word[2][i] = static_cast<std::uint32_t>(a >> 32) ^ word[3][i] ^ key[1];
        word[3][i] = static_cast<std::uint32_t>(a);
      }
      key[0] += 0x9E3779B9u;
      key[1] += 0xBB67AE85u;
    }
  }
};

}  // namespace

void DropoutStream::factors(std::int64_t begin, std::int64_t count, float scale, float* out) const {
  const auto one_by_one = [&](std::int64_t i, std::int64_t stop) {
    for (; i < stop; ++i) out[i] = keep(begin + i) ? scale : 0.0f;
  };
  std::int64_t i = std::min(count, (4 - begin % 4) % 4);  // up to a whole group of four
  one_by_one(0, i);
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    Lanes lanes;
    const std::int64_t group = (begin + i) / 4;
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const auto counter = counter_of(group + lane);
      for (std::size_t k = 0; k < 4; ++k) lanes.word[k][lane] = counter[k];
    }
    lanes.encrypt(philox_.key);
    float* to = out + i;
#pragma omp simd
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      for (std::int64_t k = 0; k < 4; ++k)
        to[4 * lane + k] = keeps(lanes.word[k][lane]) ? scale : 0.0f;
  }
  one_by_one(i, count);
}

}  // namespace trireme
