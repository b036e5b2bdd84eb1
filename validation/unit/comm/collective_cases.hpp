#pragma once
// Shared by the tests of collectives: the ways bytes can travel, data whose sum depends on its
// order, and what a plain loop makes of it.

#include "kernels/base/checked.hpp"
#include "lib/comm/communicator.hpp"
#include "validation/harness/device_fixture.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace trireme::comm::test {

/// Where operations are forced to go.
/// nodes: two ranks (or one, of two) to a pretended node, so that some groups span nodes.
/// devices: between the memories of emulated GPUs, which the host can read; one a rank.
enum class Way { arena, no_arena, messages, nodes, devices };
/// Of the tests' memory space (device_fixture.hpp).
inline std::vector<Way> ways() {
  if (validation::test_space() == MemorySpace::device) return {Way::devices};
  return {Way::arena, Way::no_arena, Way::messages, Way::nodes};
}
inline std::string name_of(Way way) {
  switch (way) {
    case Way::arena: return "arena";
    case Way::no_arena: return "no_arena";
    case Way::messages: return "messages";
    case Way::nodes: return "nodes";
    case Way::devices: return "devices";
  }
  return "?";
}

/// A world, all communicators of a grid, and memory for buffers that suits the way.
class Setting {
 public:
  static constexpr std::int64_t kArenaBytes = 8 << 20;

  explicit Setting(Way way, ProcessGrid grid = {}, CommOptions options = {},
                   int peers_at_a_time = 2)
      : world_({.ranks_per_node = way == Way::nodes ? ranks_per_node() : 0}),
        grid_(grid.size() == world_.size() ? grid : ProcessGrid(world_.size(), 1, 1)),
        communicators_(world_, grid_, with_way(options, way, peers_at_a_time)) {
    if (way == Way::arena || way == Way::nodes) {
      arena_ = std::make_unique<SharedArena>(world_, kArenaBytes);
      communicators_.attach(arena_.get());
    } else if (way == Way::devices) {
      gpu_ = std::make_unique<Gpu>(world_, communicators_);
    } else {
      plain_.resize(kArenaBytes);
    }
  }
  ~Setting() { communicators_.attach(nullptr); }

  Communicator& operator[](GroupKind kind) const {
    return gpu_ ? communicators_.on_device(kind) : communicators_[kind];
  }
  Communicator& all() const { return (*this)[GroupKind::world]; }
  const Communicators& communicators() const { return communicators_; }
  /// In which operations between devices run.
  Stream& stream() const { return *gpu_->stream; }
  const World& world() const { return world_; }

  /// Memory for `count` elements. Starts at another offset on each rank; never given back.
  template <class T>
  T* take(std::int64_t count) {
    std::byte* base = arena_ ? arena_->base()
                      : gpu_ ? static_cast<std::byte*>(gpu_->memory.data())
                             : plain_.data();
    if (used_ == 0) used_ = 64 * world_.rank();
    T* taken = reinterpret_cast<T*>(base + used_);
    used_ += round_up(count * static_cast<std::int64_t>(sizeof(T)), 64) + 64;
    EXPECT_LE(used_, kArenaBytes);
    return taken;
  }
  void forget_all() { used_ = 0; }

 private:
  /// This rank's, with so little staging memory that large sums take several rounds.
  struct Gpu {
    Gpu(const World& world, Communicators& communicators) {
      select_device(world.rank() % device_count());
      stream = std::make_unique<Stream>();
      memory = DeviceMemory(kArenaBytes);
      staging = DeviceMemory(65536);
      communicators.open_devices(*stream, true);
      for (int kind = 0; kind < kGroupKinds; ++kind)
        communicators.on_device(static_cast<GroupKind>(kind))
            .lend({static_cast<std::byte*>(staging.data()),
                   static_cast<std::size_t>(staging.bytes())});
    }
    std::unique_ptr<Stream> stream;
    DeviceMemory memory, staging;
  };

  static int ranks_per_node() { return World().size() > 2 ? 2 : 1; }
  static CommOptions with_way(CommOptions options, Way way, int peers_at_a_time) {
    if (way == Way::messages) options.shared_memory = false;
    // Small enough for several rounds and batches.
    options.limits = {
        .message_bytes = 100000, .staging_bytes = 65536, .peers_at_a_time = peers_at_a_time};
    return options;
  }

  World world_;
  ProcessGrid grid_;
  std::unique_ptr<Gpu> gpu_;
  Communicators communicators_;
  std::unique_ptr<SharedArena> arena_;
  std::vector<std::byte> plain_;
  std::int64_t used_ = 0;
};

/// Element e of what a world rank brings: magnitudes over five decades, so that (a + b) + c and
/// a + (b + c) differ in most elements. Integers, which nothing sums, take all their bits.
template <class T>
T contribution(int rank, std::int64_t e, int salt) {
  std::uint64_t h = static_cast<std::uint64_t>(e) * 0x9E3779B97F4A7C15ull +
                    static_cast<std::uint64_t>(rank * 8191 + salt) * 0xC2B2AE3D27D4EB4Full;
  h = (h ^ (h >> 29)) * 0xBF58476D1CE4E5B9ull;
  h ^= h >> 32;
  if constexpr (std::is_integral_v<T>) return static_cast<T>(h);
  const float sign = h & 1 ? -1.f : 1.f;
  const float scale = static_cast<float>(1 << (h >> 1) % 16);
  const float fraction = 0.5f + static_cast<float>((h >> 8) & 0xffffff) * 0x1p-24f;
  return static_cast<T>(sign * scale * fraction * 0x1p-8f);
}

template <class T>
void fill(T* data, std::int64_t count, int rank, int salt) {
  for (std::int64_t e = 0; e < count; ++e) data[e] = contribution<T>(rank, e, salt);
}

/// The ordered sum as anyone would write it, over members first to last.
template <class T>
T expected_sum(const Group& group, std::int64_t e, int salt) {
  using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
  auto sum = static_cast<Sum>(contribution<T>(group.rank(0), e, salt));
  for (int m = 1; m < group.count; ++m)
    sum += static_cast<Sum>(contribution<T>(group.rank(m), e, salt));
  return static_cast<T>(sum);
}

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// Number of elements of data[0, count) that differ in bits from the ordered sum of elements
/// [first, first + count).
template <class T>
std::int64_t wrong_sums(const T* data, std::int64_t first, std::int64_t count, const Group& group,
                        int salt) {
  std::int64_t wrong = 0;
  for (std::int64_t e = 0; e < count; ++e)
    wrong += !same_bits(data[e], expected_sum<T>(group, first + e, salt));
  return wrong;
}

}  // namespace trireme::comm::test
