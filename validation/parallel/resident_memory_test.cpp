// What processes grow by is what was planned, on a model of at least 100 M parameters.

#include "kernels/base/process_memory.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <cstdio>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

double over_world(double value) {
  MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  return value;
}

/// ZeRO stage 2 with the optimizer in host memory: both tiers of memory count.
TEST(ResidentMemory, IsThePlannedWithinTwoPercent) {
  const comm::World world;
  deck::Deck deck = engine_deck(tiny_llama());
  deck.model.hidden = 1024;
  deck.model.heads = deck.model.kv_heads = 8;
  deck.model.head_dim = 128;
  deck.model.ffn_hidden = 2816;
  deck.model.vocabulary = 2048;
  deck.model.layers = 8;
  deck.precision.compute = DType::bf16;
  deck.parallel.data = deck.batch.global = world.size();
  deck.parallel.zero.stage = 2;
  deck.parallel.zero.offload_optimizer.tier = deck::Tier::host;
  const double before = over_world(static_cast<double>(proportional_set_bytes()));
  EngineRun run(world, deck);
  ASSERT_GE(run.setup().model.parameters, 100'000'000);
  run.step();
  const double grown = over_world(static_cast<double>(proportional_set_bytes())) - before;
  const double planned = over_world(static_cast<double>(run.store().bytes(program::Tier::device) +
                                                        run.store().bytes(program::Tier::host)));
  if (world.rank() == 0)
    std::printf("planned %.1f MB, grown by %.1f MB\n", planned * 1e-6, grown * 1e-6);
  EXPECT_GT(grown, 0.98 * planned);
  EXPECT_LT(kShadowMemory ? planned : grown, 1.02 * planned);
}

}  // namespace
}  // namespace trireme::validation
