#include "validation/parallel/zero_cases.hpp"

#include "validation/parallel/frozen_sets.hpp"
#include "validation/parallel/pairs.hpp"

#include <fmt/format.h>

#include <array>
#include <random>

namespace trireme::validation {
namespace {

enum Axis {
  kStage,
  kOptimizerTier,
  kParameterTier,
  kCyclic,
  kReducePer,
  kGatherPer,
  kBuckets,
  kOverlap,
  kReduceScatter,
  kGatherForm,
  kPipelined,
  kRatio,
  kLive,
  kPersistence,
  kGroups,
  kActivationTier,
  kDividedActivations,
  kUpdatePer,
  kFrozen,
  kAxes
};
using Choice = Choices<kAxes>;
constexpr Choice kSizes{4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 2, 3, 2, 2, 4};

constexpr std::int64_t kUnlimited = std::int64_t{1} << 40;
constexpr std::int64_t kSmall = 1024;  // elements: units of the tiny models have some thousands

ZeroCase made(const Choice& c, const GridCase& base) {
  ZeroCase out;
  out.deck = out.plain = base.deck;
  deck::ZeroConfig& zero = out.deck.parallel.zero;
  zero.stage = c[kStage];
  zero.cyclic = c[kCyclic] == 1;
  zero.reduce_per = zero.stage >= 2 && c[kReducePer] ? deck::Per::micro_batch : deck::Per::step;
  zero.gather_per = c[kGatherPer] ? deck::Per::step : deck::Per::micro_batch;
  if (c[kBuckets])
    zero.reduce_bucket_size = zero.allgather_bucket_size = zero.sub_group_size =
        zero.offload_param.buffer_size = kSmall;
  zero.overlap_comm = c[kOverlap] == 0;
  zero.reduce_scatter = c[kReduceScatter] == 0;
  zero.allgather_partitions = c[kGatherForm] == 0;
  zero.offload_optimizer.tier = static_cast<deck::Tier>(c[kOptimizerTier]);
  zero.offload_optimizer.pipeline_read = zero.offload_optimizer.pipeline_write = c[kPipelined] == 1;
  zero.offload_optimizer.ratio = c[kRatio] ? 0.5 : 1;
  zero.offload_param.tier = static_cast<deck::Tier>(c[kParameterTier]);
  zero.offload_param.max_in_cpu = c[kRatio] ? 2 * kSmall : 0;
  zero.max_live_parameters = c[kLive] == 1 ? 8 * kSmall : kUnlimited;
  zero.max_reuse_distance = c[kLive] == 2 ? 0 : kUnlimited;
  zero.prefetch_bucket_size = c[kLive] == 0 ? kUnlimited : c[kLive] == 1 ? 4 * kSmall : 0;
  zero.param_persistence_threshold =
      std::array<std::int64_t, 3>{0, 64, kUnlimited}[static_cast<std::size_t>(c[kPersistence])];
  const std::int64_t data = base.deck.parallel.data;
  zero.shard_ranks = c[kGroups] && data % 2 == 0 ? data / 2 : 0;
  deck::RecomputeConfig& kept = out.deck.activation_checkpointing;
  kept.tier = static_cast<deck::Tier>(c[kActivationTier]);
  kept.partition =
      c[kDividedActivations] && out.deck.parallel.tensor > 1 && !out.deck.parallel.sequence;
  if (c[kActivationTier] || c[kDividedActivations])
    kept.enabled = out.plain.activation_checkpointing.enabled = true;
  zero.nvme_path = std::filesystem::temp_directory_path();
  zero.aio.checksum = c[kBuckets] == 0;

  if (c[kFrozen] > 0)
    out.deck.model.frozen = out.plain.model.frozen =
        frozen_blocks(out.deck.model, kFrozenSets[static_cast<std::size_t>(c[kFrozen]) - 1]);

  // Without clipping and skipping, whatever the base asks for, updates need not wait.
  if (c[kUpdatePer]) {
    zero.update_per = deck::UpdatePer::unit;
    out.deck.gradient_clipping = out.plain.gradient_clipping = 0;
    out.deck.precision.skip_nonfinite_gradients = out.plain.precision.skip_nonfinite_gradients =
        false;
    out.deck.precision.loss_scale = out.plain.precision.loss_scale = {};
  }

  const bool one_sum = zero.reduce_per == deck::Per::step || base.deck.batch.accumulation == 1;
  const bool lamb = base.deck.optimizer.type == deck::OptimizerType::lamb;  // norms sum by share
  const bool replicas = zero.stage > 0 && zero.shard_ranks > 0;
  out.same_bits = one_sum && !lamb && !replicas;
  constexpr std::array kTiers{"device", "cpu", "nvme"};
  out.name = fmt::format(
      "stage {} optimizer {} parameters {}{}{}{}{}{}{}{}{}{} live {} whole {}{}{}{}{}{} on {}",
      zero.stage, kTiers[static_cast<std::size_t>(c[kOptimizerTier])],
      kTiers[static_cast<std::size_t>(c[kParameterTier])], zero.cyclic ? " cyclic" : "",
      c[kReducePer] ? " sums by micro-batch" : "", c[kGatherPer] ? " gathers by step" : "",
      c[kBuckets] ? " small buckets" : "", c[kOverlap] ? " no overlap" : "",
      c[kReduceScatter] ? " all-reduce" : "", c[kGatherForm] ? " broadcasts" : "",
      c[kPipelined] ? " pipelined" : "", c[kRatio] ? " ratio" : "", c[kLive], c[kPersistence],
      zero.shard_ranks > 0 ? " groups" : "",
      kept.tier != deck::Tier::device
          ? fmt::format(" activations {}", kTiers[static_cast<std::size_t>(kept.tier)])
          : "",
      kept.partition ? " divided" : "", c[kUpdatePer] ? " updates by unit" : "",
      c[kFrozen] ? fmt::format(" frozen {}", c[kFrozen]) : "", base.name);
  return out;
}

Choice drawn(std::mt19937& random) {
  Choice choice{};
  for (std::size_t axis = 0; axis < choice.size(); ++axis)
    choice[axis] = static_cast<int>(random() % static_cast<unsigned>(kSizes[axis]));
  return choice;
}

}  // namespace

std::vector<ZeroCase> zero_pairs(int ranks) {
  std::mt19937 random(41);
  std::vector<Choice> pool;
  for (int i = 0; i < 1000; ++i) pool.push_back(drawn(random));
  const std::vector<Choice> chosen = covering(pool);
  const std::vector<GridCase> bases = random_cases(ranks, static_cast<int>(chosen.size()), 42);
  std::vector<ZeroCase> cases;
  for (std::size_t i = 0; i < chosen.size(); ++i) cases.push_back(made(chosen[i], bases[i]));
  return cases;
}

std::vector<ZeroCase> zero_random(int ranks, int count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<ZeroCase> cases;
  for (const GridCase& base : random_cases(ranks, count, seed + 1))
    cases.push_back(made(drawn(random), base));
  return cases;
}

}  // namespace trireme::validation
