// Kernels of the emulated GPU: a block's threads are fibres, resumed one after another.

#include "validation/emulation/emulation.hpp"

#include "kernels/base/error.hpp"

#include <cuda_runtime.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <vector>

namespace trireme::cuda {
/// Dynamic shared memory (kernels/base/device_kernel.cuh).
thread_local float dynamic_shared_memory[(227 << 10) / sizeof(float)];
}  // namespace trireme::cuda

namespace emulation {
namespace {

using trireme::check;
using trireme::Exit;

constexpr unsigned kWarp = 32;
constexpr unsigned kMostThreads = 1024;
constexpr std::size_t kStack = std::size_t{256} << 10;
constexpr std::size_t kSharedMemory = std::size_t{227} << 10;

enum class State : unsigned char { ready, at_warp, at_block, done };

struct Fibre {
  ucontext_t context;
  std::unique_ptr<std::byte[]> stack;
  State state = State::ready;
  bool parity = false;  ///< of its shuffles: a lane that is ahead must not overwrite
  alignas(kSlot) std::array<std::array<std::byte, kSlot>, 2> slot;
};

/// A block that is being run.
struct Block {
  std::vector<Fibre> fibres{kMostThreads};
  unsigned threads = 0;
  unsigned current = 0;
  ucontext_t scheduler;
  const std::function<void()>* body = nullptr;
  std::exception_ptr error;

  void run(bool reversed);
  void resume(unsigned thread);
  void wait(State state);
  bool release();
  bool release_warp(unsigned first);
};

Block& block() {
  thread_local Block instance;
  return instance;
}

void enter() {
  Block& b = block();
  try {
    (*b.body)();
  } catch (...) {
    b.error = std::current_exception();
  }
  b.fibres[b.current].state = State::done;
}

void Block::resume(unsigned thread) {
  current = thread;
  threadIdx.x = thread;
  swapcontext(&scheduler, &fibres[thread].context);
}

void Block::wait(State state) {
  Fibre& self = fibres[current];
  self.state = state;
  swapcontext(&self.context, &scheduler);
}

/// The lanes of a warp go on when all of them have come.
bool Block::release_warp(unsigned first) {
  const unsigned end = std::min(first + kWarp, threads);
  bool any = false;
  bool all = end - first == kWarp;
  for (unsigned t = first; t < end; ++t) {
    any |= fibres[t].state == State::at_warp;
    all &= fibres[t].state == State::at_warp;
  }
  if (!any || !all) return false;
  for (unsigned t = first; t < end; ++t) fibres[t].state = State::ready;
  return true;
}

bool Block::release() {
  bool released = false;
  for (unsigned first = 0; first < threads; first += kWarp) released |= release_warp(first);
  if (released) return true;
  for (unsigned t = 0; t < threads; ++t)
    if (fibres[t].state != State::at_block && fibres[t].state != State::done) return false;
  for (unsigned t = 0; t < threads; ++t)
    if (fibres[t].state == State::at_block) {
      fibres[t].state = State::ready;
      released = true;
    }
  return released;
}

void Block::run(bool reversed) {
  for (unsigned t = 0; t < threads; ++t) {
    Fibre& fibre = fibres[t];
    if (!fibre.stack) fibre.stack = std::make_unique<std::byte[]>(kStack);
    fibre.state = State::ready;
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = kStack;
    fibre.context.uc_link = &scheduler;
    makecontext(&fibre.context, enter, 0);
  }
  for (;;) {
    bool alive = false;
    for (unsigned i = 0; i < threads; ++i) {
      const unsigned t = reversed ? threads - 1 - i : i;
      if (fibres[t].state == State::ready) resume(t);
      if (error) std::rethrow_exception(std::exchange(error, nullptr));
      alive |= fibres[t].state != State::done;
    }
    if (!alive) return;
    check(release(), Exit::kUnexpected,
          "block ({}, {}, {}): threads wait at a barrier or shuffle that others never reach",
          blockIdx.x, blockIdx.y, blockIdx.z);
  }
}

/// Another order at every launch.
bool next_order() {
  thread_local std::uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  return state >> 31 != 0;
}

}  // namespace

unsigned lane() { return block().current % kWarp; }

void exchange(const void* mine, void* theirs, std::size_t bytes, unsigned source) {
  Block& b = block();
  const unsigned self = b.current;
  const bool parity = b.fibres[self].parity;
  b.fibres[self].parity = !parity;
  std::memcpy(b.fibres[self].slot[parity].data(), mine, bytes);
  b.wait(State::at_warp);
  std::memcpy(theirs, b.fibres[self / kWarp * kWarp + source].slot[parity].data(), bytes);
}

cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& body) {
  Block& b = block();
  const dim3 grid = config.gridDim;
  const unsigned threads = config.blockDim.x;
  const bool fits = threads > 0 && threads <= kMostThreads && config.blockDim.y == 1 &&
                    config.blockDim.z == 1 && grid.x > 0 && grid.x < 1u << 31 && grid.y > 0 &&
                    grid.y < 1u << 16 && grid.z > 0 && grid.z < 1u << 16 &&
                    config.dynamicSmemBytes <= kSharedMemory;
  if (!fits) return cudaErrorInvalidConfiguration;
  b.threads = threads;
  b.body = &body;
  blockDim = config.blockDim;
  gridDim = grid;
  const bool reversed = next_order();
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t at = reversed ? blocks - 1 - i : i;
    blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / grid.x / grid.y)};
    for (Fibre& fibre : b.fibres) fibre.parity = false;
    std::memset(trireme::cuda::dynamic_shared_memory, 0xff, config.dynamicSmemBytes);
    b.run(next_order());
  }
  return cudaSuccess;
}

}  // namespace emulation

void __syncthreads() { emulation::block().wait(emulation::State::at_block); }
void __syncwarp(unsigned) { emulation::block().wait(emulation::State::at_warp); }
