// The engine's contract: bytes arrive, every setting has its effect, nothing is allocated.

#include "io/aio/engine.hpp"
#include "io/aio/swap_file.hpp"
#include "validation/unit/io/direct_memory.hpp"
#include "validation/unit/io/planted_kernel.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <optional>
#include <random>
#include <thread>

#include <unistd.h>

namespace {
std::atomic<std::int64_t> g_allocations{0};
}

// Out of line, so that the compiler does not see malloc behind new and free behind delete.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++g_allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace trireme::test {
namespace {

using namespace io::aio;
using namespace std::chrono_literals;

/// Random writes to two files, many in flight, then random reads: everything read is what a copy in
/// memory has. `damage` changes a byte of the first file between the two.
bool random_round_trip(const Settings& settings, const std::string& folder, unsigned seed,
                       bool damage = false) {
  constexpr std::int64_t kUnits = 256;
  constexpr int kFiles = 2;
  SwapFile file_0(folder, kUnits * kUnit);
  SwapFile file_1(folder, kUnits * kUnit);
  SwapFile* const files[kFiles] = {&file_0, &file_1};
  const DirectMemory copies[kFiles] = {DirectMemory(kUnits * kUnit, seed),
                                       DirectMemory(kUnits * kUnit, seed + 1)};
  Engine engine(settings);
  std::mt19937 random(seed);
  const auto below = [&](std::int64_t n) {
    return std::uniform_int_distribution<std::int64_t>(0, n - 1)(random);
  };
  std::vector<Transfer> open;
  for (int f = 0; f < kFiles; ++f)
    for (std::int64_t at = 0; at < kUnits;) {
      const std::int64_t units = std::min(1 + below(40), kUnits - at);
      open.push_back(
          engine.write(*files[f], at * kUnit, copies[f].part(at * kUnit, units * kUnit)));
      at += units;
    }
  std::shuffle(open.begin(), open.end(), random);
  while (!open.empty()) {  // collected in every way there is
    const std::size_t done = engine.wait_any(open);
    if (!engine.test(open[done])) return false;
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(done));
    if (open.empty()) break;
    engine.wait(open.back());
    open.pop_back();
  }
  if (damage) {
    const DirectMemory other(kUnit, seed + 2);
    if (::pwrite(file_0.descriptor(), other.all().data(), kUnit, 17 * kUnit) != kUnit) return false;
  }
  const DirectMemory got(64 * 40 * kUnit);
  struct Read {
    int file;
    std::int64_t at;
    std::span<std::byte> to;
    Transfer transfer;
  };
  std::vector<Read> reads;
  for (int i = 0; i < 64; ++i) {
    const std::int64_t units = 1 + below(40);
    const std::int64_t at = i == 0 ? 0 : below(kUnits - units);
    Read read{i % kFiles, at * kUnit, got.part(i * 40 * kUnit, units * kUnit), {}};
    if (i == 0) read.to = got.part(0, 40 * kUnit);
    read.transfer = engine.read(*files[read.file], read.at, read.to);
    reads.push_back(read);
  }
  bool right = true;
  for (const Read& read : reads) {
    engine.wait(read.transfer);
    right &= same(read.to, copies[read.file].part(read.at, std::ssize(read.to)));
  }
  return right;
}

TEST(AioEngine, BytesArriveWhateverTheSettings) {
  const TestFolder folder;
  unsigned seed = 1;
  for (const Settings& settings : {Settings{kUnit, 4, 1, false, true},
                                   {kUnit, 64, 3, true, false},
                                   {16 * kUnit, 1, 3, false, false},
                                   {16 * kUnit, 4, 1, true, true},
                                   {16 * kUnit, 4, 3, true, true},
                                   {1024 * kUnit, 8, 1, true, false},
                                   {1024 * kUnit, 8, 3, false, true}}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    EXPECT_TRUE(random_round_trip(settings, folder / ".", seed++));
  }
}

TEST(AioEngine, TheRoundTripSeesOneDamagedUnit) {
  const TestFolder folder;
  EXPECT_FALSE(random_round_trip({}, folder / ".", 5, true));
}

TEST(AioEngine, BlockSizeIsTheLengthOfARequest) {
  const TestFolder folder;
  SwapFile file(folder / ".", 100 * kUnit);
  const DirectMemory memory(100 * kUnit);
  for (const auto& [units, requests] : {std::pair{1, 100}, {7, 15}, {50, 2}, {200, 1}}) {
    Engine engine({.block_size = units * kUnit});
    engine.wait(engine.write(file, 0, memory.all()));
    EXPECT_EQ(engine.counters().requests, requests) << units;
    EXPECT_EQ(engine.counters().bytes_written, 100 * kUnit);
    EXPECT_EQ(engine.counters().bytes_read, 0);
    EXPECT_EQ(engine.counters().blocks_written, requests);
    EXPECT_EQ(engine.counters().blocks_read, 0);
    EXPECT_EQ(engine.counters().read_seconds, 0);
    EXPECT_GT(engine.counters().write_seconds, 0);
  }
}

/// An engine whose kernel keeps requests until it is told to go on.
struct HeldEngine {
  explicit HeldEngine(const std::string& folder, const Settings& settings)
      : file(folder, 64 * kUnit), memory(64 * kUnit) {
    kernel.hold = true;
    engine.emplace(settings, std::function<void()>(), kernel);
  }
  ~HeldEngine() { kernel.release_all(); }
  /// Whether exactly `count` are held, now and a little later.
  bool settles_at(std::size_t count) {
    if (!kernel.wait_for_held(count)) return false;
    std::this_thread::sleep_for(50ms);
    return kernel.held() == count;
  }
  PlantedKernel kernel;
  SwapFile file;
  DirectMemory memory;
  std::optional<Engine> engine;
};

TEST(AioEngine, QueueDepthAndThreadsBoundWhatIsInFlight) {
  const TestFolder folder;
  for (const auto& [depth, threads] : {std::pair{1, 1}, {8, 1}, {3, 2}, {5, 4}}) {
    SCOPED_TRACE(testing::Message() << depth << " x " << threads);
    HeldEngine held(folder / ".", {.block_size = kUnit, .queue_depth = depth, .threads = threads});
    const Transfer write = held.engine->write(held.file, 0, held.memory.all());
    EXPECT_TRUE(held.settles_at(static_cast<std::size_t>(depth * threads)));
    EXPECT_EQ(held.engine->counters().threads_used, threads);
    EXPECT_FALSE(held.engine->test(write));
    held.kernel.release_all();
    held.engine->wait(write);
    EXPECT_EQ(held.engine->counters().most_in_flight, depth * threads);
    EXPECT_EQ(held.engine->counters().requests, 64);
  }
}

TEST(AioEngine, SingleSubmitIsACallForEachBlock) {
  const TestFolder folder;
  for (const bool single : {false, true}) {
    HeldEngine held(folder / ".", {.block_size = 8 * kUnit, .single_submit = single});
    const Transfer write = held.engine->write(held.file, 0, held.memory.all());
    ASSERT_TRUE(held.settles_at(8));
    EXPECT_EQ(held.kernel.submit_calls(), single ? 8 : 1);
    EXPECT_EQ(held.engine->counters().submits, held.kernel.submit_calls());
    held.kernel.release_all();
    held.engine->wait(write);
  }
}

TEST(AioEngine, OverlapEventsStartsABlockAsSoonAsAnotherCompletes) {
  const TestFolder folder;
  for (const bool overlap : {false, true}) {
    HeldEngine held(folder / ".",
                    {.block_size = 8 * kUnit, .queue_depth = 4, .overlap_events = overlap});
    const Transfer write = held.engine->write(held.file, 0, held.memory.all());
    ASSERT_TRUE(held.settles_at(4));
    held.kernel.release(1);
    EXPECT_TRUE(held.settles_at(overlap ? 4 : 3));
    held.kernel.release(3);
    EXPECT_TRUE(held.settles_at(4));
    held.kernel.release_all();
    held.engine->wait(write);
  }
}

TEST(AioEngine, BlocksStartInTheOrderOfTheirTransfers) {
  const TestFolder folder;
  PlantedKernel kernel;
  SwapFile file(folder / ".", 64 * kUnit);
  const DirectMemory memory(64 * kUnit);
  Engine engine({.block_size = kUnit, .queue_depth = 3}, {}, kernel);
  std::vector<std::int64_t> expected;
  std::vector<Transfer> open;
  for (const std::int64_t at : {40, 8, 32, 0, 56, 16}) {
    open.push_back(engine.write(file, at * kUnit, memory.part(at * kUnit, 8 * kUnit)));
    for (std::int64_t i = 0; i < 8; ++i) expected.push_back((at + i) * kUnit);
  }
  for (const Transfer transfer : open) engine.wait(transfer);
  EXPECT_EQ(kernel.offsets(), expected);
}

TEST(AioEngine, SeveralTransfersRunAtOnce) {
  const TestFolder folder;
  HeldEngine held(folder / ".", {.queue_depth = 8});
  SwapFile other(folder / ".", 64 * kUnit);
  std::vector<Transfer> open;
  for (int i = 0; i < 4; ++i) {
    open.push_back(held.engine->write(held.file, i * kUnit, held.memory.part(i * kUnit, kUnit)));
    open.push_back(held.engine->read(other, i * kUnit, held.memory.part((8 + i) * kUnit, kUnit)));
  }
  EXPECT_TRUE(held.settles_at(8));
  held.kernel.release(3);
  const std::size_t first = held.engine->wait_any(open);
  EXPECT_LT(first, 3U);
  held.engine->wait(open[first]);
  open.erase(open.begin() + static_cast<std::ptrdiff_t>(first));
  held.kernel.release_all();
  for (const Transfer transfer : open) held.engine->wait(transfer);
}

TEST(AioEngine, TransfersAreBoundedAndCollectedOnce) {
  const TestFolder folder;
  HeldEngine held(folder / ".", {.max_transfers = 2});
  const auto unit = [&](std::int64_t i) { return held.memory.part(i * kUnit, kUnit); };
  const Transfer a = held.engine->write(held.file, 0, unit(0));
  EXPECT_FALSE(held.engine->full());
  const Transfer b = held.engine->write(held.file, kUnit, unit(1));
  EXPECT_TRUE(held.engine->full());
  const auto third = [&] { held.engine->write(held.file, 2 * kUnit, unit(2)); };
  EXPECT_EQ(error_text(third),
            "all 2 transfers of the engine are in use: collect some, or raise max_transfers");
  held.kernel.release_all();
  held.engine->wait(a);
  EXPECT_NE(error_text([&] { held.engine->wait(a); }).find("was collected before"),
            std::string::npos);
  const Transfer c = held.engine->write(held.file, 2 * kUnit, unit(2));
  EXPECT_NE(error_text([&] { held.engine->test(a); }).find("was collected before"),
            std::string::npos);
  EXPECT_NE(error_text([&] { held.engine->test(Transfer{}); }).find("never begun"),
            std::string::npos);
  held.engine->wait(b);
  held.engine->wait(c);
}

TEST(AioEngine, WhatCannotBeIsSaidWhereItIsAsked) {
  const TestFolder folder;
  SwapFile file(folder / ".", 4 * kUnit);
  const DirectMemory memory(8 * kUnit);
  Engine engine({});
  const auto text = [&](std::int64_t offset, std::int64_t from, std::int64_t bytes) {
    return error_text([&] { engine.read(file, offset, memory.part(from, bytes)); });
  };
  for (const auto& message : {text(512, 0, kUnit), text(0, 512, kUnit), text(0, 0, 512)})
    EXPECT_NE(message.find("expected multiples of 4096, found"), std::string::npos) << message;
  for (const auto& message :
       {text(4 * kUnit, 0, kUnit), text(0, 0, 5 * kUnit), text(0, 0, 0), text(-kUnit, 0, kUnit)})
    EXPECT_NE(message.find("do not lie in its 16384 bytes"), std::string::npos) << message;
  EXPECT_EQ(text(0, 0, 4 * kUnit), "");

  const auto setting = [](const Settings& settings) {
    return error_text([&] { Engine made(settings); });
  };
  EXPECT_NE(setting({.block_size = 1000}).find("aio.block_size"), std::string::npos);
  EXPECT_NE(setting({.queue_depth = 0}).find("aio.queue_depth"), std::string::npos);
  EXPECT_NE(setting({.threads = 0}).find("aio.intra_op_parallelism"), std::string::npos);
}

TEST(AioEngine, TellsWhenATransferIsComplete) {
  const TestFolder folder;
  SwapFile file(folder / ".", 64 * kUnit);
  const DirectMemory memory(64 * kUnit);
  std::atomic<int> told{0};
  {
    Engine engine({.block_size = kUnit, .threads = 2}, [&] { ++told; });
    for (int i = 0; i < 4; ++i)
      engine.write(file, 16 * i * kUnit, memory.part(16 * i * kUnit, 16 * kUnit));
    while (told < 4) std::this_thread::sleep_for(1ms);
    EXPECT_GT(engine.counters().busy_seconds, 0);
  }
  EXPECT_EQ(told, 4);
}

TEST(AioEngine, AnEngineMayGoWithTransfersInFlight) {
  const TestFolder folder;
  SwapFile file(folder / ".", 256 * kUnit);
  const DirectMemory memory(256 * kUnit);
  for (int i = 0; i < 20; ++i) {
    Engine engine({.block_size = kUnit, .queue_depth = 4, .threads = 2});
    engine.write(file, 0, memory.part(0, 128 * kUnit));
    engine.read(file, 128 * kUnit, memory.part(128 * kUnit, 128 * kUnit));
  }
}

TEST(AioEngine, TransfersAllocateNothing) {
  const TestFolder folder;
  SwapFile file(folder / ".", 64 * kUnit, {.checksums = true});
  const DirectMemory memory(64 * kUnit);
  Engine engine({.block_size = 4 * kUnit, .threads = 2, .max_transfers = 4});
  const std::int64_t before = g_allocations;
  for (int i = 0; i < 50; ++i) {
    const Transfer a = engine.write(file, 0, memory.part(0, 32 * kUnit));
    const Transfer b = engine.read(file, 32 * kUnit, memory.part(32 * kUnit, 32 * kUnit));
    const Transfer both[] = {a, b};
    engine.wait_any(both);
    engine.wait(a);
    engine.wait(b);
  }
  EXPECT_EQ(g_allocations - before, 0);
  std::string planted(100, 'x');
  EXPECT_GT(g_allocations - before, 0);
}

TEST(AioPool, BuffersAreAlignedAndCounted) {
  Pool pool(3, 5000);
  EXPECT_EQ(pool.buffer_bytes(), 2 * kUnit);
  const auto a = pool.take();
  const auto b = pool.take();
  EXPECT_NE(a.data(), b.data());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data()) % kUnit, 0U);
  pool.take();
  EXPECT_EQ(error_text([&] { pool.take(); }), "all 3 buffers of the pool are taken");
  pool.give_back(b);
  EXPECT_EQ(pool.take().data(), b.data());
  EXPECT_NE(error_text([&] { pool.give_back(a.subspan(1)); }), "");
}

}  // namespace
}  // namespace trireme::test
