// Kernels of the emulated GPU: a block's threads are fibres, resumed one after another.

#include "validation/emulation/emulation.hpp"

#include "kernels/base/error.hpp"

#include <cuda_runtime.h>
#include <mma.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <vector>

namespace trireme::cuda {
/// Dynamic shared memory (kernels/base/device_kernel.cuh).
alignas(128) thread_local float dynamic_shared_memory[(227 << 10) / sizeof(float)];
}  // namespace trireme::cuda

#ifdef __x86_64__
// Saves what a call must keep (System V ABI) on the stack, and goes on with another one. ucontext's
// swap asks the kernel for signal masks each time, which makes kernels with shuffles several times
// slower.
extern "C" void emulation_switch(void** from, void* to);
asm(R"(
.text
.globl emulation_switch
.type emulation_switch, @function
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch, .-emulation_switch
)");
#else
#include <ucontext.h>
#endif

namespace emulation {
namespace {

std::atomic<std::int64_t> g_launches{0};

#ifdef __x86_64__
/// A place to go on at: a stack.
class Context {
 public:
  /// `entry`, which never returns, on this stack.
  void start(std::byte* stack, std::size_t bytes, void (*entry)()) {
    auto** top = reinterpret_cast<void**>(stack + bytes / 16 * 16);
    *--top = nullptr;  // where the caller's address would be: keeps the ABI's alignment
    *--top = reinterpret_cast<void*>(entry);
    for (int registers = 0; registers < 6; ++registers) *--top = nullptr;
    at_ = top;
  }
  void go_to(Context& other) { emulation_switch(&at_, other.at_); }

 private:
  void* at_ = nullptr;
};
#else
class Context {
 public:
  void start(std::byte* stack, std::size_t bytes, void (*entry)()) {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = bytes;
    context_.uc_link = nullptr;
    makecontext(&context_, entry, 0);
  }
  void go_to(Context& other) { swapcontext(&context_, &other.context_); }

 private:
  ucontext_t context_;
};
#endif

using trireme::check;
using trireme::Exit;

constexpr unsigned kWarp = 32;
constexpr unsigned kMostThreads = 1024;
constexpr std::size_t kStack = std::size_t{256} << 10;
constexpr std::size_t kSharedMemory = std::size_t{227} << 10;

enum class State : unsigned char { ready, at_warp, at_block, done };

struct Fibre {
  Context context;
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
  Context scheduler;
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
  Fibre& self = b.fibres[b.current];
  self.state = State::done;
  self.context.go_to(b.scheduler);
}

void Block::resume(unsigned thread) {
  current = thread;
  threadIdx.x = thread;
  scheduler.go_to(fibres[thread].context);
}

void Block::wait(State state) {
  Fibre& self = fibres[current];
  self.state = state;
  self.context.go_to(scheduler);
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
    fibre.context.start(fibre.stack.get(), kStack, enter);
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

cudaError_t check_launch(const cudaLaunchConfig_t& config) {
  const dim3 grid = config.gridDim;
  const unsigned threads = config.blockDim.x;
  const bool fits = threads > 0 && threads <= kMostThreads && config.blockDim.y == 1 &&
                    config.blockDim.z == 1 && grid.x > 0 && grid.x < 1u << 31 && grid.y > 0 &&
                    grid.y < 1u << 16 && grid.z > 0 && grid.z < 1u << 16 &&
                    config.dynamicSmemBytes <= kSharedMemory;
  if (!fits) return cudaErrorInvalidConfiguration;
  ++g_launches;
  return cudaSuccess;
}

std::int64_t launches() { return g_launches; }

void run(const cudaLaunchConfig_t& config, const std::function<void()>& body) {
  Block& b = block();
  const dim3 grid = config.gridDim;
  const unsigned threads = config.blockDim.x;
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
}

}  // namespace emulation

void __syncthreads() { emulation::block().wait(emulation::State::at_block); }
void __syncwarp(unsigned) { emulation::block().wait(emulation::State::at_warp); }

namespace nvcuda::wmma {

void expect_block(const void* memory, unsigned stride, int element_bytes) {
  trireme::check(reinterpret_cast<std::uintptr_t>(memory) % 32 == 0 &&
                     stride * static_cast<unsigned>(element_bytes) % 16 == 0,
                 trireme::Exit::kUnexpected,
                 "a block of a warp's product needs 32-byte addresses and rows of whole 16 bytes, "
                 "found {} and a stride of {}",
                 memory, stride);
}

WarpBlocks& warp_blocks() {
  thread_local std::array<WarpBlocks, emulation::kMostThreads / emulation::kWarp> all;
  return all[threadIdx.x / emulation::kWarp];
}

}  // namespace nvcuda::wmma
