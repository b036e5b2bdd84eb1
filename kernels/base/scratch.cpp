#include "kernels/base/scratch.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace trireme {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kFirstBlock = std::size_t{1} << 20;

std::atomic<std::int64_t> g_held{0};

struct Free {
  void operator()(std::byte* memory) const { std::free(memory); }
};

struct Block {
  std::unique_ptr<std::byte, Free> memory;
  std::size_t size = 0;
};

/// Blocks are filled in order; a request that does not fit goes to the next block, or to a new one
/// of at least twice the size.
struct Stack {
  std::vector<Block> blocks;
  std::size_t block = 0;
  std::size_t used = 0;

  ~Stack() {
    for (const Block& b : blocks) g_held -= static_cast<std::int64_t>(b.size);
  }

  void* take(std::size_t bytes) {
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    while (block < blocks.size() && used + bytes > blocks[block].size) {
      ++block;
      used = 0;
    }
    if (block == blocks.size()) grow(bytes);
    void* start = blocks[block].memory.get() + used;
    used += bytes;
    return start;
  }

  void grow(std::size_t bytes) {
    const std::size_t last = blocks.empty() ? kFirstBlock / 2 : blocks.back().size;
    const std::size_t size = std::max(bytes, 2 * last);
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, size));
    if (!memory) throw std::bad_alloc();
    blocks.push_back({std::unique_ptr<std::byte, Free>(memory), size});
    g_held += static_cast<std::int64_t>(size);
  }
};

Stack& stack() {
  thread_local Stack instance;
  return instance;
}

}  // namespace

ScratchFrame::ScratchFrame() : block_(stack().block), used_(stack().used) {}

ScratchFrame::~ScratchFrame() {
  stack().block = block_;
  stack().used = used_;
}

void* ScratchFrame::take_bytes(std::size_t bytes) { return stack().take(bytes); }

std::int64_t scratch_bytes() { return g_held; }

}  // namespace trireme
