// ZeRO, offload and I/O: old names, what stage and tier imply, and which keys can't matter.
#include "lib/deck/draft.hpp"
#include "lib/deck/parse.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::deck {

namespace {

constexpr std::string_view kStage = "zero_optimization.stage";
constexpr std::string_view kGroup = "zero_optimization.mics_shard_size";
constexpr std::string_view kPartition = "parallel.zero.partition";
constexpr std::string_view kRoundRobin = "zero_optimization.round_robin_gradients";
constexpr std::string_view kReducePer = "parallel.zero.reduce_per";
constexpr std::string_view kUpdatePer = "parallel.zero.update_per";
constexpr std::string_view kOverlap = "zero_optimization.overlap_comm";
constexpr std::string_view kOptimizerDevice = "zero_optimization.offload_optimizer.device";
constexpr std::string_view kOptimizerPath = "zero_optimization.offload_optimizer.nvme_path";
constexpr std::string_view kParamDevice = "zero_optimization.offload_param.device";
constexpr std::string_view kParamPath = "zero_optimization.offload_param.nvme_path";
constexpr std::string_view kRecompute = "activation_checkpointing.enabled";
constexpr std::string_view kActivationDevice = "activation_checkpointing.device";
constexpr std::string_view kActivationCpu = "activation_checkpointing.cpu_checkpointing";
constexpr std::string_view kActivationSplit = "activation_checkpointing.partition_activations";

std::string device(const Draft& draft, std::string_view key) {
  const std::string* text = draft.at(key).text();
  return text ? *text : "none";
}

/// Whether the deck asks for anything but the default.
bool asks(const Draft& draft, std::string_view key) {
  return draft.given(key) && !draft.mistakes.in(key) &&
         !(draft.at(key) == *parse_value(find_row(key)->standard));
}

void no_influence(Draft& draft, std::string_view key, std::string_view why) {
  draft.warn(key, fmt::format("{}: {} has no influence: {}", key, to_json(draft.at(key)), why));
}

/// Warns of each of `keys` that the deck sets although it can't matter.
void idle_here(Draft& draft, std::string_view why, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys)
    if (asks(draft, key)) no_influence(draft, key, why);
}

/// A switch that stands for `key` = `value`; the key itself must not say otherwise.
void settle_switch(Draft& draft, std::string_view name, std::string_view key, std::string value,
                   bool old_name) {
  const bool* on = draft.at(name).boolean();
  if (on == nullptr || !*on || draft.mistakes.in(name) || draft.mistakes.in(key)) return;
  const std::string* own = draft.at(key).text();
  if (draft.given(key) && (own == nullptr || *own != value))
    return draft.conflict({name, key}, fmt::format("{} true means {} \"{}\", which is {}; keep one",
                                                   name, key, value, to_json(draft.at(key))));
  if (old_name) draft.warn(name, fmt::format("{} is an old name of {} \"{}\"", name, key, value));
  draft.derive(key, std::move(value));
}

/// What the keys of this section hang on.
struct Situation {
  std::int64_t stage = 0;
  std::string undivided;  ///< why no state is divided; empty when it is
  bool alone = false;     ///< no data-parallel peers: gradients are not summed
  bool one_micro_batch = false;
  // Tiers by their names in a deck.
  std::string optimizer;
  std::string parameters;
  std::string activations;  ///< none without recomputation

  bool nvme() const { return optimizer == "nvme" || parameters == "nvme" || activations == "nvme"; }
};

Situation situation_of(const Draft& draft) {
  Situation s;
  s.stage = draft.known(kStage).value_or(0);
  s.alone = draft.known("parallel.data") == 1;
  s.one_micro_batch = draft.known("gradient_accumulation_steps") == 1;
  if (s.stage == 0)
    s.undivided = "stage 0 divides nothing";
  else if (s.alone)
    s.undivided = "parallel.data is 1, there is nobody to divide state with";
  else if (draft.known(kGroup) == 1)
    s.undivided = "mics_shard_size is 1, there is nobody to divide state with";
  s.optimizer = device(draft, kOptimizerDevice);
  s.parameters = device(draft, kParamDevice);
  s.activations = draft.boolean(kRecompute) ? device(draft, kActivationDevice) : "none";
  return s;
}

void check_group(Draft& draft) {
  const auto group = draft.known(kGroup);
  const auto data = draft.known("parallel.data");
  if (!group || *group < 1 || !data || *data == 1 || *data % *group == 0) return;
  std::int64_t nearest = std::min(*group, *data);
  while (*data % nearest != 0) --nearest;
  draft.conflict({kGroup, "parallel.data"},
                 fmt::format("{} {} does not divide parallel.data {}; nearest: {}, or -1 for the "
                             "whole axis",
                             kGroup, *group, *data, nearest));
}

void check_stage(Draft& draft, const Situation& s) {
  if (s.stage == 0 || s.alone) idle_here(draft, s.undivided, {kGroup});
  if (s.stage == 0) return;
  if (s.undivided.empty()) return;
  const bool moves_gradients = s.stage >= 2 && s.optimizer != "none";
  if (moves_gradients)
    draft.warn(kStage, fmt::format("{}: {} divides nothing: {}; gradients go to the offload tier",
                                   kStage, s.stage, s.undivided));
  else
    no_influence(draft, kStage, s.undivided);
}

/// Stages 2 and 3 sum with every micro-batch unless told otherwise; the others can't.
void resolve_reduce_per(Draft& draft, const Situation& s) {
  if (draft.mistakes.in(kReducePer)) return;
  const std::string standard = s.stage >= 2 ? "micro_batch" : "step";
  if (draft.open(kReducePer)) return draft.derive(kReducePer, standard);
  const std::string given = draft.text(kReducePer);
  if (given == "micro_batch" && s.stage < 2)
    return draft.conflict(
        {kReducePer, kStage},
        fmt::format("{} \"micro_batch\" needs stage 2 or 3: at stage {} every rank keeps whole "
                    "gradients until the step ends; nearest: \"step\", or {} 2",
                    kReducePer, s.stage, kStage));
  if (given == standard) return;
  if (!s.undivided.empty())
    no_influence(draft, kReducePer, s.undivided);
  else if (s.one_micro_batch)
    no_influence(draft, kReducePer, "gradient_accumulation_steps is 1");
}

/// Updates beside backward come before anybody knows the norm, or that a step has to be skipped.
void check_update_per(Draft& draft) {
  if (draft.mistakes.in(kUpdatePer) || draft.text(kUpdatePer) != "unit") return;
  const auto refuse = [&](std::string_view key, std::string_view why, std::string_view nearest) {
    draft.conflict({kUpdatePer, key}, fmt::format("{} \"unit\" updates before {}; nearest: {}, or "
                                                  "{} \"step\"",
                                                  kUpdatePer, why, nearest, kUpdatePer));
  };
  const auto on = [&](std::string_view key) {
    return !draft.mistakes.in(key) && draft.boolean(key);
  };
  constexpr std::string_view kClipping = "gradient_clipping";
  if (!draft.mistakes.in(kClipping) && !draft.at(kClipping).is_auto() &&
      draft.number(kClipping) != 0)
    refuse(kClipping, "the norm is known that gradient_clipping compares", "gradient_clipping 0");
  if (on("fp16.enabled"))
    refuse("fp16.enabled", "fp16 knows whether to skip the step", "bf16.enabled true");
  if (on("bf16.enabled") && on("bf16.check_grad_overflow"))
    refuse("bf16.check_grad_overflow", "it knows whether to skip the step",
           "bf16.check_grad_overflow false");
}

void check_communication(Draft& draft, const Situation& s) {
  if (!s.undivided.empty())
    idle_here(draft, s.undivided,
              {"zero_optimization.reduce_scatter", "zero_optimization.allgather_partitions",
               "zero_optimization.allgather_bucket_size", kRoundRobin, kPartition});
  else if (s.stage == 3 && s.parameters == "none")
    idle_here(draft, "stage 3 gathers into a buffer apart from the shares, always in one call",
              {"zero_optimization.allgather_partitions"});
  if (s.alone) {
    constexpr std::string_view why = "parallel.data is 1, nothing is summed or gathered";
    idle_here(draft, why, {"zero_optimization.reduce_bucket_size"});
    if (s.parameters == "none" && draft.at(kOverlap) == Value{false})
      no_influence(draft, kOverlap, why);
  }
}

/// Keys of gathered parameters; some also steer parameters that come from another tier.
void check_stage3(Draft& draft, const Situation& s) {
  const bool gathers = s.stage == 3 && s.undivided.empty();
  const std::string why =
      s.stage < 3 ? fmt::format("stage {} has no gathered parameters", s.stage) : s.undivided;
  if (!gathers)
    idle_here(draft, why,
              {"zero_optimization.stage3_max_reuse_distance",
               "zero_optimization.stage3_model_persistence_threshold"});
  if (!gathers && s.parameters == "none")
    idle_here(draft, why,
              {"zero_optimization.stage3_prefetch_bucket_size",
               "zero_optimization.stage3_max_live_parameters",
               "zero_optimization.stage3_param_persistence_threshold", "parallel.zero.gather_per"});
}

void check_tiers(Draft& draft, const Situation& s) {
  if (s.optimizer == "none")
    idle_here(draft, "offload_optimizer.device is \"none\"",
              {"zero_optimization.offload_optimizer.ratio", "zero_optimization.sub_group_size"});
  if (s.optimizer != "nvme")
    idle_here(draft, fmt::format("offload_optimizer.device is \"{}\", not \"nvme\"", s.optimizer),
              {"zero_optimization.offload_optimizer.buffer_count",
               "zero_optimization.offload_optimizer.pipeline_read",
               "zero_optimization.offload_optimizer.pipeline_write"});
  else if (!draft.boolean("zero_optimization.offload_optimizer.pipeline_read"))
    idle_here(draft, "without offload_optimizer.pipeline_read one sub-group is read at a time",
              {"zero_optimization.offload_optimizer.buffer_count"});
  if (s.parameters != "nvme")
    idle_here(draft, fmt::format("offload_param.device is \"{}\", not \"nvme\"", s.parameters),
              {"zero_optimization.offload_param.buffer_count",
               "zero_optimization.offload_param.buffer_size",
               "zero_optimization.offload_param.max_in_cpu"});
  else if (draft.at(kOverlap) == Value{false})
    idle_here(draft, "without overlap_comm units are read one at a time, when they are used",
              {"zero_optimization.offload_param.buffer_count"});
  if (!s.nvme())
    idle_here(
        draft, "nothing is on NVMe",
        {kOptimizerPath, kParamPath, "aio.block_size", "aio.queue_depth",
         "aio.intra_op_parallelism", "aio.single_submit", "aio.overlap_events", "aio.checksum"});
}

/// One folder for all that is on NVMe, whichever key names it.
void resolve_nvme_path(Draft& draft, const Situation& s) {
  if (!s.nvme() || draft.mistakes.in(kOptimizerPath) || draft.mistakes.in(kParamPath)) return;
  const std::string* optimizer = draft.at(kOptimizerPath).text();
  const std::string* parameters = draft.at(kParamPath).text();
  if (!optimizer && !parameters) {
    const std::string_view key = s.optimizer == "nvme"    ? kOptimizerDevice
                                 : s.parameters == "nvme" ? kParamDevice
                                                          : kActivationDevice;
    return draft.wrong(key, fmt::format("{} \"nvme\" needs a folder on a local NVMe disk; give {}, "
                                        "\"auto\" for the run's folder",
                                        key, key == kParamDevice ? kParamPath : kOptimizerPath));
  }
  if (optimizer && parameters && *optimizer != *parameters)
    return draft.conflict({kOptimizerPath, kParamPath},
                          fmt::format("{} {} and {} {} differ: a run has one folder for all that "
                                      "is on NVMe; keep one",
                                      kOptimizerPath, *optimizer, kParamPath, *parameters));
  const std::string folder = optimizer ? *optimizer : *parameters;
  draft.derive(kOptimizerPath, folder);
  draft.derive(kParamPath, folder);
}

void check_io(Draft& draft) {
  constexpr std::int64_t kAligned = 4096;  // of O_DIRECT
  const auto block = draft.known("aio.block_size");
  if (block && *block % kAligned != 0)
    draft.wrong("aio.block_size",
                fmt::format("aio.block_size: {} is no multiple of {} (O_DIRECT); nearest: {}",
                            *block, kAligned, (*block + kAligned - 1) / kAligned * kAligned));
}

void check_recompute(Draft& draft) {
  if (!draft.boolean(kRecompute)) {
    // Without the switch at all one warning speaks of the whole section.
    if (draft.given(kRecompute))
      idle_here(draft, "activation_checkpointing.enabled is false",
                {kActivationDevice, kActivationCpu, kActivationSplit});
    return;
  }
  if (draft.known("parallel.tensor") == 1)
    idle_here(draft, "parallel.tensor is 1", {kActivationSplit});
  else if (draft.boolean("parallel.sequence"))
    idle_here(draft, "parallel.sequence divides a block's input already", {kActivationSplit});
}

}  // namespace

void resolve_zero(Draft& draft) {
  settle_switch(draft, "zero_optimization.cpu_offload", kOptimizerDevice, "cpu", true);
  settle_switch(draft, "zero_optimization.cpu_offload_param", kParamDevice, "cpu", true);
  settle_switch(draft, kActivationCpu, kActivationDevice, "cpu", false);
  settle_switch(draft, kRoundRobin, kPartition, "cyclic", false);
  check_group(draft);
  const Situation situation = situation_of(draft);
  check_stage(draft, situation);
  resolve_reduce_per(draft, situation);
  check_update_per(draft);
  check_communication(draft, situation);
  check_stage3(draft, situation);
  check_tiers(draft, situation);
  resolve_nvme_path(draft, situation);
  check_io(draft);
  check_recompute(draft);
  if (draft.open(kOverlap)) draft.derive(kOverlap, true);
}

}  // namespace trireme::deck
