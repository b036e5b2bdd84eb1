// Used memory is measured: equal to the plan where all of it was used, and smaller where not.

#include "kernels/base/process_memory.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/cases.hpp"

#include <sys/mman.h>

#include <map>
#include <numeric>

namespace trireme::validation {
namespace {

using program::Purpose;

const auto* const kRuntime = with_runtime(1);

std::int64_t& at(std::array<std::int64_t, program::kPurposes>& bytes, Purpose purpose) {
  return bytes[static_cast<std::size_t>(purpose)];
}

/// Largest sum of transient buffers alive at once by the recorded times alone: a second count, from
/// below, because the lanes look at the clock after a start and before a completion.
std::int64_t alive_by_times(const program::Compiled& compiled, const engine::Executor& executor) {
  struct Life {
    double begin = 1e300, end = -1;
  };
  std::map<program::BufferId, Life> lives;
  const auto& list = executor.instructions();
  for (std::size_t i = 0; i < list.size(); ++i)
    for (const auto* ids : {&list[i].reads, &list[i].writes})
      for (const program::BufferId id : *ids) {
        if (compiled.buffers[static_cast<std::size_t>(id)].lifetime != program::Lifetime::step)
          continue;
        lives[id].begin = std::min(lives[id].begin, executor.intervals()[i].start);
        lives[id].end = std::max(lives[id].end, executor.intervals()[i].end);
      }
  std::int64_t most = 0;
  for (const auto& [ignored, moment] : lives) {
    std::int64_t sum = 0;
    for (const auto& [id, life] : lives)
      if (life.begin <= moment.begin && moment.begin < life.end)
        sum += compiled.buffers[static_cast<std::size_t>(id)].bytes;
    most = std::max(most, sum);
  }
  return most;
}

TEST(UsedMemory, IsThePlannedMemory) {
  const comm::World world;
  for (const GridCase& c : random_cases(world.size(), 6, 12)) {
    SCOPED_TRACE(c.name);
    EngineRun run(world, c.deck);
    run.step();
    run.step();
    const engine::Setup& setup = run.setup();
    const auto stage = run.place().at.pipeline;
    const engine::HighWater& most = run.executor().high_water();
    const std::int64_t arena = setup.training.memory.at(stage, program::Tier::device);
    EXPECT_EQ(most.end, arena);
    EXPECT_EQ(std::accumulate(most.bytes.begin(), most.bytes.end(), std::int64_t{0}), most.total);
    EXPECT_GE(most.total, alive_by_times(setup.training, run.executor()));
    EXPECT_LE(most.total, arena - setup.resident.bytes(
                                      stage, program::Tier::device));  // buffers in use are apart

    std::array<std::int64_t, program::kPurposes> state{};
    for (const program::Buffer& buffer : setup.resident.buffers())
      if (buffer.stage == stage) at(state, buffer.purpose) += buffer.bytes;
    EXPECT_EQ(run.store().state_in_memory(), state);
    const comm::SharedArena& memory = run.store().arena();
    EXPECT_EQ(bytes_in_memory(memory.base(), memory.bytes()), memory.bytes());
  }
}

TEST(UsedMemory, OfStateThatLostItsPagesIsNothing) {
  const comm::World world;
  deck::Deck deck = engine_deck(tiny_gpt());
  deck.parallel.data = deck.batch.global = world.size();
  EngineRun run(world, deck);
  auto before = run.store().state_in_memory();
  ASSERT_GT(at(before, Purpose::moments), 0);
  const int forget = world.node_size() == 1 ? MADV_DONTNEED : MADV_REMOVE;  // of a shared file
  for (const program::Buffer& buffer : run.setup().resident.buffers()) {
    if (buffer.purpose != Purpose::moments) continue;
    ASSERT_EQ(madvise(run.store().at(buffer), static_cast<std::size_t>(buffer.bytes), forget), 0);
  }
  auto after = run.store().state_in_memory();
  EXPECT_EQ(at(after, Purpose::moments), 0);
  EXPECT_EQ(at(after, Purpose::gradients), at(before, Purpose::gradients));
  EXPECT_EQ(at(after, Purpose::weights), at(before, Purpose::weights));
}

TEST(UsedMemory, CountsPartsOfPages) {
  constexpr std::int64_t kPage = 4096;
  constexpr std::int64_t kPages = 10000;  // more than one call of the system
  void* mapped =
      mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  madvise(mapped, kPages * kPage, MADV_NOHUGEPAGE);
  auto* bytes = static_cast<char*>(mapped);
  EXPECT_EQ(bytes_in_memory(bytes, kPages * kPage), 0);
  bytes[3 * kPage + 5] = 1;
  bytes[9000 * kPage] = 1;
  EXPECT_EQ(bytes_in_memory(bytes, kPages * kPage), 2 * kPage);
  EXPECT_EQ(bytes_in_memory(bytes + 3 * kPage + 100, 50), 50);
  EXPECT_EQ(bytes_in_memory(bytes + 3 * kPage - 100, 150), 50);
  EXPECT_EQ(bytes_in_memory(bytes + 4 * kPage - 7, 150), 7);
  EXPECT_EQ(bytes_in_memory(bytes, 0), 0);
  munmap(mapped, kPages * kPage);
}

/// Activations and a gradient of them that lives beside, then tokens in the bytes of the first; a
/// fourth buffer that nobody touches.
program::Compiled four_buffers() {
  program::Compiled made;
  const auto buffer = [&](std::int64_t bytes, std::int64_t offset, Purpose purpose) {
    program::Buffer one;
    one.bytes = bytes;
    one.offset = offset;
    one.purpose = purpose;
    made.buffers.push_back(one);
  };
  buffer(1000, 0, Purpose::activations);
  buffer(100, 1024, Purpose::activation_gradients);
  buffer(500, 0, Purpose::tokens);
  buffer(4000, 4096, Purpose::optimizer);
  made.stages.resize(1);
  const auto instruction = [&](std::vector<program::BufferId> reads,
                               std::vector<program::BufferId> writes) {
    program::Instruction one;
    one.reads = std::move(reads);
    one.writes = std::move(writes);
    made.stages[0].instructions.push_back(one);
  };
  instruction({}, {0});
  instruction({0}, {1});
  instruction({1}, {2});
  made.memory.bytes = {{8192, 0, 0}};
  return made;
}

TEST(LiveMemory, CountsWhatInstructionsUse) {
  const program::Compiled compiled = four_buffers();
  engine::LiveMemory live(compiled, 0);
  for (int run = 0; run < 2; ++run) {
    live.begin();
    for (std::size_t i = 0; i < 3; ++i) {
      live.start(i);
      live.finish(i);
    }
  }
  engine::HighWater most = live.most(program::Tier::device);
  EXPECT_EQ(most.total, 1100);
  EXPECT_EQ(at(most.bytes, Purpose::activations), 1000);
  EXPECT_EQ(at(most.bytes, Purpose::activation_gradients), 100);
  EXPECT_EQ(at(most.bytes, Purpose::tokens), 0);     // when the sum was largest
  EXPECT_EQ(at(most.bytes, Purpose::optimizer), 0);  // planned, never used
  EXPECT_EQ(most.end, 1280);                         // and so the arena's end is not reached
}

TEST(LiveMemory, OfAnInstructionWithoutEffectIsNothing) {
  const program::Compiled compiled = four_buffers();
  engine::LiveMemory live(compiled, 0);
  live.begin();
  for (std::size_t i = 0; i < 3; ++i) live.finish(i);
  EXPECT_EQ(live.most(program::Tier::device).total, 0);
  EXPECT_EQ(live.most(program::Tier::device).end, 0);
}

TEST(LiveMemory, ABufferThatIsNeverGivenBackIsSeen) {
  const program::Compiled compiled = four_buffers();
  engine::LiveMemory live(compiled, 0);
  live.begin();
  for (std::size_t i = 0; i < 3; ++i) live.start(i);  // the fault
  EXPECT_EQ(live.most(program::Tier::device).total, 1600);
  EXPECT_GT(live.most(program::Tier::device).total,
            live.most(program::Tier::device).end);  // more in use than there is room for
}

}  // namespace
}  // namespace trireme::validation
