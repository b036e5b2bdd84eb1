// Model-state bytes are those of theory (Rajbhandari et al., SC 2020, sec. 3 and 5, with gradients
// in f32): with P elements on a rank, N ranks that divide them, B elements of whole gradients and L
// of gathered weights alive at once, 16-bit weights take 18P; 6P + 12P/N; 2P + 16P/N + 4B;
// 18P/N + 2L + 4B bytes at stages 0 to 3, f32 weights (which are the masters) 16P; 8P + 8P/N;
// 4P + 12P/N + 4B; 16P/N + 4L + 4B. Planned, and used.

#include "lib/program/print.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <fmt/format.h>

#include <map>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

using program::Buffer;
using program::Compiled;
using program::Purpose;
using program::Tier;

constexpr std::int64_t kUnlimited = std::int64_t{1} << 40;

/// Bytes of state an element: of whole ones, and of those that are divided.
struct Law {
  int stage;
  bool bf16;
  std::int64_t whole;
  std::int64_t divided;
};
constexpr Law kLaws[] = {{0, true, 18, 0},  {1, true, 6, 12}, {2, true, 2, 16},  {3, true, 0, 18},
                         {0, false, 16, 0}, {1, false, 8, 8}, {2, false, 4, 12}, {3, false, 0, 16}};

deck::Deck deck_of(const Law& law, int ranks) {
  deck::ModelConfig model = tiny_llama();
  model.hidden = 64;
  model.ffn_hidden = 96;
  deck::Deck deck = engine_deck(model);
  deck.parallel.tensor = ranks >= 4 ? 2 : 1;
  deck.parallel.data = ranks / deck.parallel.tensor;
  deck.batch.accumulation = 2;
  deck.batch.global = 2 * deck.parallel.data;
  deck.precision.compute = law.bf16 ? DType::bf16 : DType::f32;
  deck::ZeroConfig& zero = deck.parallel.zero;
  zero.stage = law.stage;
  zero.reduce_per = law.stage >= 2 ? deck::Per::micro_batch : deck::Per::step;
  zero.param_persistence_threshold = 100;
  zero.prefetch_bucket_size = zero.max_reuse_distance = 0;
  zero.nvme_path = std::filesystem::temp_directory_path();
  return deck;
}

/// Elements of a rank: of bodies, and of tails, which stay whole.
struct Elements {
  std::int64_t body = 0;
  std::int64_t tail = 0;
  std::vector<std::int64_t> bodies;  ///< in the order of the model
};

Elements elements_of(const engine::Setup& setup, int stage) {
  Elements found;
  for (const std::int32_t u : program::units_of_stage(setup.model, setup.layout, stage)) {
    const nn::Unit& unit = setup.model.units[static_cast<std::size_t>(u)];
    found.body += unit.body;
    found.tail += unit.elements - unit.body;
    found.bodies.push_back(unit.body);
  }
  return found;
}

bool is_state(Purpose purpose) {
  return purpose == Purpose::weights || purpose == Purpose::masters ||
         purpose == Purpose::gradients || purpose == Purpose::moments;
}

/// Resident model state of a tier.
std::int64_t state_bytes(const engine::Setup& setup, int stage, Tier tier) {
  std::int64_t bytes = 0;
  for (const Buffer& buffer : setup.resident.buffers())
    if (buffer.stage == stage && buffer.tier == tier && is_state(buffer.purpose))
      bytes += buffer.bytes;
  return bytes;
}

/// Largest sum of transient buffers of a purpose that are alive at once, in the order of the list.
std::int64_t most_alive(const Compiled& compiled, int stage, Purpose purpose) {
  const auto& list = compiled.stages[static_cast<std::size_t>(stage)].instructions;
  std::map<program::BufferId, std::pair<std::size_t, std::size_t>> lives;
  for (std::size_t i = 0; i < list.size(); ++i)
    for (const auto* ids : {&list[i].reads, &list[i].writes, &list[i].holds})
      for (const program::BufferId id : *ids)
        if (compiled.buffers[static_cast<std::size_t>(id)].purpose == purpose)
          lives.try_emplace(id, i, i).first->second.second = i;
  std::int64_t most = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::int64_t sum = 0;
    for (const auto& [id, life] : lives)
      if (life.first <= i && i <= life.second)
        sum += compiled.buffers[static_cast<std::size_t>(id)].bytes;
    most = std::max(most, sum);
  }
  return most;
}

/// Largest body, or largest two neighbours: backward goes on while the last block's sum is under
/// way.
std::int64_t largest(const std::vector<std::int64_t>& bodies, bool two) {
  std::int64_t most = bodies[0];
  for (std::size_t i = 0; i < bodies.size(); ++i)
    most = std::max(most, bodies[i] + (two && i > 0 ? bodies[i - 1] : 0));
  return most;
}

/// Used is what was planned: state by the system's pages, the rest by the lanes' count.
void expect_used(EngineRun& run) {
  run.step();
  run.step();
  const engine::Setup& setup = run.setup();
  const int stage = run.place().at.pipeline;
  for (const Tier tier : {Tier::device, Tier::host, Tier::nvme}) {
    std::array<std::int64_t, program::kPurposes> state{};
    for (const Buffer& buffer : setup.resident.buffers())
      if (buffer.stage == stage && buffer.tier == tier)
        state[static_cast<std::size_t>(buffer.purpose)] += buffer.bytes;
    EXPECT_EQ(run.store().state_in_memory(tier), state);
    const std::int64_t transient =
        setup.training.memory.at(stage, tier) - setup.resident.bytes(stage, tier);
    if (transient == 0) continue;
    EXPECT_EQ(run.executor().high_water(tier).end, setup.training.memory.at(stage, tier));
  }
}

TEST(ZeroMemory, StateIsThatOfTheory) {
  const comm::World world;
  for (const Law& law : kLaws)
    for (const bool overlap : {true, false}) {
      SCOPED_TRACE(
          fmt::format("stage {} {} overlap {}", law.stage, law.bf16 ? "bf16" : "f32", overlap));
      deck::Deck deck = deck_of(law, world.size());
      deck.parallel.zero.overlap_comm = overlap;
      EngineRun run(world, deck);
      const engine::Setup& setup = run.setup();
      const Elements elements = elements_of(setup, 0);
      const std::int64_t ranks = law.stage == 0 ? 1 : deck.parallel.data;
      EXPECT_EQ(state_bytes(setup, 0, Tier::device), law.whole * elements.body +
                                                         law.divided * elements.body / ranks +
                                                         (law.whole + law.divided) * elements.tail);
      const std::int64_t gradients = most_alive(setup.training, 0, Purpose::live_gradients);
      EXPECT_EQ(gradients, law.stage < 2 ? 0 : 4 * largest(elements.bodies, overlap));
      const std::int64_t weights = most_alive(setup.training, 0, Purpose::live_weights);
      EXPECT_EQ(weights, law.stage < 3 ? 0 : (law.bf16 ? 2 : 4) * largest(elements.bodies, false));
      expect_used(run);
    }
}

/// What is held for the step is all of it; a bound on live parameters holds.
TEST(ZeroMemory, HeldForTheStepIsTheWhole) {
  const comm::World world;
  for (const std::int64_t bound : {kUnlimited, std::int64_t{60000}}) {
    deck::Deck deck = deck_of({3, true, 0, 18}, world.size());
    deck::ZeroConfig& zero = deck.parallel.zero;
    zero.reduce_per = zero.gather_per = deck::Per::step;
    zero.max_reuse_distance = kUnlimited;
    zero.max_live_parameters = bound;
    EngineRun run(world, deck);
    const Elements elements = elements_of(run.setup(), 0);
    EXPECT_EQ(most_alive(run.setup().training, 0, Purpose::live_gradients), 4 * elements.body);
    const std::int64_t weights = most_alive(run.setup().training, 0, Purpose::live_weights);
    if (bound == kUnlimited)
      EXPECT_EQ(weights, 2 * elements.body);
    else
      EXPECT_LE(weights, 2 * bound);
    expect_used(run);
  }
}

/// Updates behind each gradient leave nothing of it: no home but a tail's, and no more alive than
/// what backward makes while the last block's sum is under way.
TEST(ZeroMemory, GradientsUsedUpAtOnceAreKeptNowhere) {
  const comm::World world;
  for (const int stage : {0, 1, 2, 3})
    for (const Tier tier : {Tier::device, Tier::nvme}) {
      SCOPED_TRACE(fmt::format("stage {} on {}", stage, program::name_of(tier)));
      deck::Deck deck = deck_of({stage, true, 0, 0}, world.size());
      deck.batch.accumulation = 1;
      deck.batch.global = deck.parallel.data;
      deck.gradient_clipping = 0;
      deck.parallel.zero.update_per = deck::UpdatePer::unit;
      deck.parallel.zero.offload_optimizer.tier = tier;
      EngineRun run(world, deck);
      const Elements elements = elements_of(run.setup(), 0);
      const std::int64_t ranks = stage == 0 ? 1 : deck.parallel.data;
      const std::int64_t weights =
          2 * elements.body / (stage == 3 ? deck.parallel.data : std::int64_t{1});
      const std::int64_t optimizer = 12 * elements.body / ranks;
      EXPECT_EQ(state_bytes(run.setup(), 0, Tier::device),
                weights + (tier == Tier::device ? optimizer : 0) + 18 * elements.tail);
      EXPECT_EQ(state_bytes(run.setup(), 0, Tier::nvme), tier == Tier::nvme ? optimizer : 0);
      EXPECT_LE(most_alive(run.setup().training, 0, Purpose::live_gradients),
                4 * largest(elements.bodies, true));
      expect_used(run);
    }
}

/// Bytes an element by tier, of elements that may leave the device.
TEST(ZeroMemory, TiersHoldWhatTheDeckSays) {
  const comm::World world;
  for (const Tier tier : {Tier::host, Tier::nvme})
    for (const int stage : {0, 1, 2, 3}) {
      SCOPED_TRACE(fmt::format("stage {} on {}", stage, program::name_of(tier)));
      deck::Deck deck = deck_of({stage, true, 0, 0}, world.size());
      deck.parallel.zero.offload_optimizer.tier = tier;
      deck.parallel.zero.offload_param.tier = stage == 3 ? tier : Tier::device;
      deck.parallel.zero.offload_param.max_in_cpu = 0;
      EngineRun run(world, deck);
      const Elements elements = elements_of(run.setup(), 0);
      const std::int64_t ranks = stage == 0 ? 1 : deck.parallel.data;
      // Masters and moments; from stage 2 on gradients; with stage 3 weights here.
      const std::int64_t away = stage < 2 ? 12 : stage == 2 ? 16 : 18;
      const std::int64_t device = stage < 2 ? 6 : stage == 2 ? 2 : 0;
      EXPECT_EQ(state_bytes(run.setup(), 0, tier), away * elements.body / ranks);
      EXPECT_EQ(state_bytes(run.setup(), 0, Tier::device),
                device * elements.body + 18 * elements.tail);
      expect_used(run);
    }
}

TEST(ZeroMemory, AGradientHeldTooLongBreaksTheLaw) {
  const comm::World world;
  const deck::Deck deck = deck_of({2, true, 2, 16}, world.size());
  const engine::Setup setup(deck);
  Compiled broken = setup.training;
  for (program::BufferId id = 0; id < static_cast<program::BufferId>(broken.buffers.size()); ++id)
    if (broken.buffers[static_cast<std::size_t>(id)].purpose == Purpose::live_gradients) {
      broken.stages[0].instructions.back().holds.push_back(id);
      break;
    }
  EXPECT_GT(most_alive(broken, 0, Purpose::live_gradients),
            most_alive(setup.training, 0, Purpose::live_gradients));
}

}  // namespace
}  // namespace trireme::validation
