#pragma once
// A hash table from pairs of ids to a number: open addressing, linear probing, never erased from.

#include <bit>
#include <cstdint>
#include <vector>

namespace trireme::io {

inline std::uint64_t pair_key(std::uint32_t left, std::uint32_t right) {
  return static_cast<std::uint64_t>(left) << 32 | right;
}

class PairTable {
 public:
  explicit PairTable(std::size_t expected = 0)
      : slots_(std::bit_ceil(2 * expected + 16)), shift_(64 - std::countr_zero(slots_.size())) {}

  /// The number of a pair; nullptr when it was never inserted. Valid until the next insertion.
  const std::int64_t* find(std::uint64_t key) const {
    const Slot& slot = slots_[place(key)];
    return slot.used ? &slot.value : nullptr;
  }
  /// The number of a pair, 0 at first.
  std::int64_t& operator[](std::uint64_t key) {
    std::size_t at = place(key);
    if (!slots_[at].used) {
      if (2 * (used_ + 1) > slots_.size()) {
        grow();
        at = place(key);
      }
      slots_[at] = {key, 0, true};
      ++used_;
    }
    return slots_[at].value;
  }
  std::size_t size() const { return used_; }

  template <class Function>
  void for_each(const Function& function) const {
    for (const Slot& slot : slots_)
      if (slot.used) function(slot.key, slot.value);
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    std::int64_t value = 0;
    bool used = false;
  };

  std::size_t place(std::uint64_t key) const {
    std::size_t at = (key * 0x9E3779B97F4A7C15ull) >> shift_;  // Fibonacci hashing
    while (slots_[at].used && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    --shift_;
    for (const Slot& slot : old)
      if (slot.used) slots_[place(slot.key)] = slot;
  }

  std::vector<Slot> slots_;
  int shift_;
  std::size_t used_ = 0;
};

}  // namespace trireme::io
