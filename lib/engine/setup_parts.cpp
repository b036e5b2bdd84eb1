#include "lib/engine/setup_parts.hpp"

#include "kernels/base/checked.hpp"
#include "lib/optim/optimizer.hpp"

namespace trireme::engine {
namespace {

/// Elements that chunks are multiples of where shares move to storage: a whole number of O_DIRECT's
/// blocks in 16 bits too.
constexpr std::int64_t kStorageElements = program::kStorageAlignment / 2;

nn::Sharding sharding_of(const deck::Deck& deck) {
  const deck::ZeroConfig& zero = deck.parallel.zero;
  nn::Sharding sharding;
  if (zero.stage >= 1)
    sharding.ranks = zero.shard_ranks > 0 ? zero.shard_ranks : deck.parallel.data;
  sharding.cyclic = zero.cyclic;
  const bool away = zero.offload_optimizer.tier != deck::Tier::device ||
                    zero.offload_param.tier != deck::Tier::device;
  if (sharding.ranks > 1) sharding.alignment = nn::kParameterAlignment;
  if (away) sharding.alignment = kStorageElements;
  const bool moves =
      (zero.stage >= 3 && sharding.ranks > 1) || zero.offload_param.tier != deck::Tier::device;
  if (moves) {
    sharding.whole_up_to = zero.param_persistence_threshold;
    sharding.whole_in_total = zero.model_persistence_threshold;
  }
  return sharding;
}

}  // namespace

nn::Placement placement_of(const deck::Deck& deck) {
  nn::Placement placement;
  placement.tensor = deck.parallel.tensor;
  placement.sequence_parallel = deck.parallel.sequence;
  placement.micro_batch = deck.batch.micro;
  placement.sequence = deck.model.context;
  placement.compute = deck.precision.compute;
  placement.products = {.fp8 = deck.precision.fp8, .tf32 = deck.precision.tf32};
  placement.attention_across_documents = deck.data.attention_across_documents;
  placement.sharding = sharding_of(deck);
  return placement;
}

program::Options options_of(const deck::Deck& deck) {
  program::Options options;
  options.shape.schedule = deck.parallel.schedule;
  options.shape.stages = narrow<std::int32_t>(deck.parallel.pipeline);
  options.shape.virtual_stages = narrow<std::int32_t>(deck.parallel.virtual_stages);
  options.shape.micro_batches = narrow<std::int32_t>(deck.batch.accumulation);
  options.data = deck.parallel.data;
  for (const std::int64_t layers : deck.parallel.layers_per_stage)
    options.layers_per_chunk.push_back(narrow<std::int32_t>(layers));
  options.recompute = deck.activation_checkpointing.enabled;
  options.activation_tier = deck.activation_checkpointing.tier;
  options.divide_activations = deck.activation_checkpointing.partition;
  options.moments = static_cast<int>(optim::state_names(deck.optimizer).size());
  options.tensor_norms = optim::needs_tensor_norms(deck.optimizer);
  options.zero = deck.parallel.zero;
  options.device_apart = deck.run.device == "cuda";
  options.device_links = options.device_apart && deck.parallel.ranks() > 1 &&
                         deck.parallel.transport != deck::Transport::host;
  return options;
}

comm::ProcessGrid grid_of(const deck::Deck& deck) {
  return comm::ProcessGrid(narrow<int>(deck.parallel.data), narrow<int>(deck.parallel.tensor),
                           narrow<int>(deck.parallel.pipeline))
      .with_shard(narrow<int>(sharding_of(deck).ranks > 1 ? sharding_of(deck).ranks : 0));
}

}  // namespace trireme::engine
