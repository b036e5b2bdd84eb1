#pragma once
// Memory that transfers of io/aio may use.

#include "io/aio/pool.hpp"
#include "io/aio/settings.hpp"

#include <cstring>
#include <random>
#include <span>

namespace trireme::test {

inline constexpr std::int64_t kUnit = io::aio::kAlignment;

/// Aligned for O_DIRECT, filled with bytes that depend on `seed` and place.
class DirectMemory {
 public:
  explicit DirectMemory(std::int64_t bytes, unsigned seed = 0)
      : pool_(1, bytes), bytes_(pool_.take()) {
    std::mt19937 random(seed);
    for (std::byte& b : bytes_) b = static_cast<std::byte>(random());
  }
  std::span<std::byte> all() const { return bytes_; }
  std::span<std::byte> part(std::int64_t offset, std::int64_t bytes) const {
    return bytes_.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(bytes));
  }

 private:
  io::aio::Pool pool_;
  std::span<std::byte> bytes_;
};

inline bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace trireme::test
