// The store answers for its bytes and keeps every buffer of a unit apart.

#include "kernels/elementwise/elementwise.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <algorithm>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

deck::Deck bf16_deck() {
  deck::Deck deck = engine_deck(tiny_llama());
  deck.precision.compute = DType::bf16;
  return deck;
}

TEST(Store, BuffersOfUnitsAreApartAndInsideTheArena) {
  const comm::World world;
  EngineRun run(world, bf16_deck());
  struct Piece {
    const std::byte* begin;
    const std::byte* end;
  };
  std::vector<Piece> pieces;
  const auto add = [&](const void* data, std::int64_t bytes) {
    const auto* begin = static_cast<const std::byte*>(data);
    pieces.push_back({begin, begin + bytes});
  };
  for (const state::UnitState& unit : run.store().units()) {
    add(unit.weights.data, unit.weights.bytes());
    for (const auto& floats :
         {unit.masters, unit.gradients, unit.moments.at(0), unit.moments.at(1)})
      add(floats.data(), static_cast<std::int64_t>(floats.size_bytes()));
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < pieces.size(); ++i)
    EXPECT_LE(pieces[i - 1].end, pieces[i].begin) << i;

  const std::int64_t arena = run.setup().training.memory.arena_bytes[0];
  std::int64_t planned = 0;
  for (const state::MemoryRow& row : run.store().memory()) planned += row.planned;
  const std::byte* base = run.store().arena().base();
  EXPECT_GE(pieces.front().begin, base);
  EXPECT_LE(pieces.back().end, base + arena);
  EXPECT_LE(planned, arena);  // the rest is alignment
}

TEST(Store, WeightsAreTheMastersRounded) {
  const comm::World world;
  EngineRun run(world, bf16_deck());
  const auto differing = [&] {
    std::int64_t count = 0;
    for (const state::UnitState& unit : run.store().units()) {
      std::vector<float> stored(unit.masters.size());
      kernels::copy(unit.weights, TensorView::of(stored.data(), unit.weights.shape));
      for (std::size_t i = 0; i < stored.size(); ++i)
        count += std::abs(stored[i] - unit.masters[i]) > std::abs(unit.masters[i]) / 256 ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(differing(), 0);
  for (state::UnitState& unit : run.store().units()) unit.masters[0] += 1;
  EXPECT_EQ(differing(), static_cast<std::int64_t>(run.store().units().size()));
  run.store().refresh_weights();
  EXPECT_EQ(differing(), 0);
  run.step();  // updates round too
  EXPECT_EQ(differing(), 0);
}

TEST(Store, NamesAUnitThatIsNotHere) {
  const comm::World world;
  EngineRun run(world, bf16_deck());
  EXPECT_THROW(run.store().unit(1000), Error);
}

}  // namespace
}  // namespace trireme::validation
