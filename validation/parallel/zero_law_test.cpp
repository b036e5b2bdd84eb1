// The grid law over ZeRO's stages and tiers: losses, gradients, masters and clip norms of a run
// with divided and offloaded state, updated at once or behind each gradient, are those of the same
// grid at stage 0, to the bit where sums run in the same order, within the bound elsewhere.

#include "validation/harness/bound.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/zero_cases.hpp"
#include "validation/parallel/zero_trace.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

void expect_same_bits(const Trace& got, const Trace& want) {
  EXPECT_EQ(got.losses, want.losses);
  EXPECT_EQ(got.norms, want.norms);
  EXPECT_TRUE(got.first.gradients == want.first.gradients);
  EXPECT_TRUE(got.masters.gradients == want.masters.gradients);
  EXPECT_EQ(got.evaluation, want.evaluation);
  EXPECT_TRUE(got == want);
}

void expect_near(const Trace& got, const Trace& want, const deck::Deck& deck) {
  const auto layers = static_cast<int>(deck.model.layers);
  const DType dtype = deck.precision.compute;
  const Deviation worst = compare(got.first, want.first, dtype, layers);
  EXPECT_LT(worst.over_bound, 1) << worst.name;
  for (std::size_t i = 0; i < want.losses.size(); ++i)
    EXPECT_LT(std::abs(got.losses[i] - want.losses[i]),
              bound(dtype, 0, layers) * std::abs(want.losses[i]))
        << "step " << i;
}

void expect_law(const comm::World& world, const std::vector<ZeroCase>& cases) {
  int exact = 0;
  for (const ZeroCase& c : cases) {
    SCOPED_TRACE(c.name);
    try {
      const bool kept = c.deck.parallel.zero.update_per == deck::UpdatePer::step;
      const Trace want = trace_of(world, c.plain, {.gradients = kept});
      const Trace got = trace_of(world, c.deck);
      if (c.same_bits) {
        expect_same_bits(got, want);
        ++exact;
      } else {
        expect_near(got, want, c.deck);
      }
    } catch (const Error& error) {
      ADD_FAILURE() << error.text();
    }
  }
  if (world.rank() == 0) std::printf("%zu cases, %d of them to the bit\n", cases.size(), exact);
}

TEST(ZeroLaw, AllPairs) {
  const comm::World world;
  expect_law(world, zero_pairs(world.size()));
}

TEST(ZeroLaw, RandomCases) {
  const comm::World world;
  expect_law(world, zero_random(world.size(), world.size() == 8 ? 12 : 14, 51));
}

/// A tied unit, units smaller than the ranks (norms and positions of the tiny model), and with an
/// endless threshold nothing but tails: every stage over one to four micro-batches, to the bit.
TEST(ZeroLaw, TiedAndTinyUnitsAtEveryStage) {
  const comm::World world;
  const bool staged = world.size() % 2 == 0;
  for (std::int64_t micros = 1; micros <= 4; ++micros) {
    ZeroCase c;
    c.plain = engine_deck(tiny_gpt());
    c.plain.parallel.pipeline = staged ? 2 : 1;
    c.plain.parallel.data = world.size() / c.plain.parallel.pipeline;
    c.plain.batch.accumulation = micros;
    c.plain.batch.global = micros * c.plain.parallel.data;
    c.deck = c.plain;
    c.same_bits = true;
    std::vector<ZeroCase> cases;
    for (const int stage : {1, 2, 3})
      for (const std::int64_t whole : {std::int64_t{0}, std::int64_t{1} << 40}) {
        c.name = fmt::format("stage {}, {} micro-batches, tensors of up to {} whole", stage, micros,
                             whole);
        c.deck.parallel.zero.stage = stage;
        c.deck.parallel.zero.param_persistence_threshold = whole;
        cases.push_back(c);
      }
    expect_law(world, cases);
  }
}

}  // namespace
}  // namespace trireme::validation
