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
  for (const program::Buffer& buffer : run.setup().resident.buffers())
    if (buffer.stage == 0) add(run.store().at(buffer), buffer.bytes);
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < pieces.size(); ++i)
    EXPECT_LE(pieces[i - 1].end, pieces[i].begin) << i;

  const std::int64_t arena = run.setup().training.memory.at(0, program::Tier::device);
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
  state::Store& store = run.store();
  const program::ResidentTable& resident = run.setup().resident;
  const auto differing = [&] {
    std::int64_t count = 0;
    for (const state::UnitState& unit : store.units()) {
      const program::Buffer& weights =
          resident.at(resident.homes(0, unit.index, program::Purpose::weights)[0]);
      std::vector<float> stored(static_cast<std::size_t>(unit.unit->elements));
      kernels::copy({store.at(weights), Shape{unit.unit->elements}, DType::bf16},
                    TensorView::of(stored.data(), {unit.unit->elements}));
      store.visit(unit, program::Purpose::masters, 0, state::Store::Access::read,
                  [&](const state::Held& held) {
                    for (std::size_t i = 0; i < held.values.size(); ++i) {
                      const float master = held.values[i];
                      const float weight = stored[static_cast<std::size_t>(held.flat.begin) + i];
                      count += std::abs(weight - master) > std::abs(master) / 256 ? 1 : 0;
                    }
                  });
    }
    return count;
  };
  EXPECT_EQ(differing(), 0);
  for (const state::UnitState& unit : store.units())
    store.visit(unit, program::Purpose::masters, 0, state::Store::Access::update,
                [](const state::Held& held) { held.values[0] += 1; });
  EXPECT_EQ(differing(), static_cast<std::int64_t>(store.units().size()));
  run.refresh();
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
