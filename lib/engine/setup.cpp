#include "lib/engine/setup.hpp"

#include "kernels/base/checked.hpp"
#include "lib/models/build.hpp"
#include "lib/optim/optimizer.hpp"
#include "lib/program/check.hpp"
#include "lib/program/print.hpp"
#include "lib/program/simulate.hpp"

#include <fmt/format.h>

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

nn::Placement placement_of(const deck::Deck& deck) {
  nn::Placement placement;
  placement.tensor = deck.parallel.tensor;
  placement.sequence_parallel = deck.parallel.sequence;
  placement.micro_batch = deck.batch.micro;
  placement.sequence = deck.model.context;
  placement.compute = deck.precision.compute;
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
  options.moments = static_cast<int>(optim::state_names(deck.optimizer).size());
  options.tensor_norms = optim::needs_tensor_norms(deck.optimizer);
  options.zero = deck.parallel.zero;
  return options;
}

program::Compiled checked(program::Compiled made) {
  program::check_programs(made);
  return made;
}

program::Compiled compiled(const Setup& setup, bool forward_only) {
  program::Options options = setup.options;
  options.shape.forward_only = forward_only;
  return checked(program::compile(setup.model, setup.layout, options, setup.resident));
}

comm::ProcessGrid grid_of(const deck::Deck& deck) {
  return comm::ProcessGrid(narrow<int>(deck.parallel.data), narrow<int>(deck.parallel.tensor),
                           narrow<int>(deck.parallel.pipeline))
      .with_shard(narrow<int>(sharding_of(deck).ranks > 1 ? sharding_of(deck).ranks : 0));
}

}  // namespace

Setup::Setup(const deck::Deck& resolved)
    : deck(resolved),
      grid(grid_of(deck)),
      model(models::build_language_model(deck.model, placement_of(deck))),
      options(options_of(deck)),
      layout(program::make_layout(model, options)),
      resident(model, layout, options),
      training(compiled(*this, false)),
      evaluation(compiled(*this, true)),
      refresh(checked(program::compile_refresh(model, layout, options, resident))) {}

std::string Setup::stage_holds(int stage) const {
  std::string blocks;
  for (std::int32_t chunk = stage; chunk < layout.chunks(); chunk += layout.stages) {
    const auto first =
        static_cast<std::size_t>(layout.chunk_begin[static_cast<std::size_t>(chunk)]);
    const auto last =
        static_cast<std::size_t>(layout.chunk_begin[static_cast<std::size_t>(chunk) + 1]) - 1;
    blocks += blocks.empty() ? "" : ", ";
    blocks += first == last
                  ? model.blocks[first].name
                  : fmt::format("{} to {}", model.blocks[first].name, model.blocks[last].name);
  }
  std::int64_t elements = 0;
  for (const std::int32_t unit : program::units_of_stage(model, layout, stage))
    elements += model.units[static_cast<std::size_t>(unit)].logical_elements();
  return fmt::format("{}: {:.2f} M parameters", blocks, static_cast<double>(elements) * 1e-6);
}

std::string check_text(const Setup& setup, int full_stage) {
  const deck::Deck& deck = setup.deck;
  std::string out =
      comm::grid_plan(setup.grid, [&](int stage) { return setup.stage_holds(stage); });
  if (!out.empty() && out.back() != '\n') out += '\n';
  out += fmt::format(
      "model     {} with {:.3f} M parameters, {:.4g} flop a token\n"
      "batch     {} samples of {} tokens = {} a replica x {} data x {} micro-batches; {} steps, "
      "{:.4g} tokens\n",
      deck::name_of(deck.model.family), static_cast<double>(setup.model.parameters) * 1e-6,
      setup.flops_per_token(), deck.batch.global, deck.model.context, deck.batch.micro,
      deck.parallel.data, deck.batch.accumulation, deck.run.max_steps,
      static_cast<double>(deck.run.max_steps) * static_cast<double>(setup.tokens_per_step()));
  const program::Simulation walk = program::simulate(setup.training);
  out += fmt::format("schedule  {}: predicted bubble {:.1f} %\n",
                     deck::name_of(deck.parallel.schedule), 100 * walk.bubble);
  out += "training step, one class a stage:\n" + program::print_summary(setup.training);
  if (full_stage >= 0) {
    check(full_stage < setup.layout.stages, Exit::kUsage,
          "there is no stage {}; stages are 0 to {}", full_stage, setup.layout.stages - 1);
    out += fmt::format("program of stage {}:\n", full_stage) +
           program::print_program(setup.model, setup.training, full_stage);
  }
  return out;
}

}  // namespace trireme::engine
