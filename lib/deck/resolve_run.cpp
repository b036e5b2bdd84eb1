// Batch triple, run length, schedule lengths, recomputation, data and precision.
#include "kernels/base/checked.hpp"
#include "lib/deck/draft.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trireme::deck {

namespace {

constexpr std::string_view kGlobal = "train_batch_size";
constexpr std::string_view kMicro = "train_micro_batch_size_per_gpu";
constexpr std::string_view kAccumulation = "gradient_accumulation_steps";

/// DeepSpeed's derivation (config.py, _set_batch_related_parameters): integer divisions, checked
/// afterwards by the product.
void derive_batch(Draft& draft, std::int64_t data) {
  const auto global = draft.known(kGlobal);
  const auto micro = draft.known(kMicro);
  const auto accumulation = draft.known(kAccumulation);
  if (global && micro && !accumulation) {
    draft.derive(kAccumulation, *global / *micro / data);
  } else if (global && !micro && accumulation) {
    draft.derive(kMicro, *global / data / *accumulation);
  } else if (!global && micro) {
    const std::int64_t steps = accumulation.value_or(1);
    draft.derive(kAccumulation, steps);
    draft.derive(kGlobal, checked_multiply(checked_multiply(*micro, steps), data));
  } else if (global && !micro) {
    draft.derive(kAccumulation, std::int64_t{1});
    draft.derive(kMicro, *global / data);
  }
}

/// An open length becomes `value`; absent stays at its default.
void fill_auto(Draft& draft, std::string_view key, std::int64_t value) {
  if (draft.at(key).is_auto() && !draft.mistakes.in(key)) draft.derive(key, value);
}

void derive_schedule(Draft& draft, std::int64_t max_steps) {
  fill_auto(draft, "scheduler.params.total_num_steps", max_steps);
  fill_auto(draft, "scheduler.params.warmup_num_steps",
            std::max<std::int64_t>(2, divide_up(max_steps, 20)));
  fill_auto(draft, "scheduler.params.cycle_first_step_size",
            std::max<std::int64_t>(1, max_steps / 2));
  if (draft.open("scheduler.params.cycle_second_step_size"))
    if (const auto first = draft.known("scheduler.params.cycle_first_step_size"))
      draft.derive("scheduler.params.cycle_second_step_size", *first);
  if (draft.open("scheduler.params.cycle_second_stair_count"))
    if (const auto first = draft.known("scheduler.params.cycle_first_stair_count"))
      draft.derive("scheduler.params.cycle_second_stair_count", *first);
  if (draft.open("scheduler.params.warmup_max_lr") && !draft.mistakes.in("optimizer.params.lr"))
    draft.derive("scheduler.params.warmup_max_lr", draft.number("optimizer.params.lr"));
}

void check_schedule(Draft& draft) {
  const std::string* type = draft.at("scheduler.type").text();
  if (type == nullptr) return;
  const auto warmup = draft.known("scheduler.params.warmup_num_steps");
  if (type->starts_with("Warmup") && warmup && *warmup < 2) {
    draft.warn(
        "scheduler.params.warmup_num_steps",
        fmt::format("scheduler.params.warmup_num_steps {} counts as 2, as in DeepSpeed", *warmup));
    draft.derive("scheduler.params.warmup_num_steps", std::int64_t{2});
  }
  if (*type != "OneCycle" || draft.mistakes.in("scheduler.params.cycle_min_lr") ||
      draft.mistakes.in("scheduler.params.cycle_max_lr"))
    return;
  if (draft.number("scheduler.params.cycle_min_lr") > draft.number("scheduler.params.cycle_max_lr"))
    draft.conflict({"scheduler.params.cycle_min_lr", "scheduler.params.cycle_max_lr"},
                   "scheduler.params.cycle_min_lr is above cycle_max_lr");
}

/// Paths of a deck start at its own folder; a list of them each.
void make_absolute(Draft& draft, std::string_view key, const std::filesystem::path& folder) {
  Value value = draft.at(key);
  const auto absolute = [&](const std::string& path) {
    return (folder / path).lexically_normal().string();
  };
  if (const std::string* path = value.text()) {
    value.data = absolute(*path);
  } else if (value.list() != nullptr) {
    for (Value& element : std::get<List>(value.data)) element.data = absolute(*element.text());
  }
  draft.derive(key, std::move(value.data));
}

/// The band of the last validation loss, and whether anything validates at all.
void check_evaluation(Draft& draft) {
  constexpr std::string_view kBand = "report.expect.validation_loss";
  const List* band = draft.at(kBand).list();
  const auto value = [](const Value& v) {
    return v.integer() ? static_cast<double>(*v.integer()) : std::get<double>(v.data);
  };
  if (band && (band->size() != 2 || value((*band)[0]) > value((*band)[1])))
    draft.wrong(kBand,
                fmt::format("{}: expected [low, high]; found {}", kBand, to_json(draft.at(kBand))));
  if (draft.mistakes.in("data.validation_fraction") ||
      draft.number("data.validation_fraction") > 0 || !draft.at("data.validation_tokens").is_null())
    return;
  if (band)
    draft.conflict({kBand, "data.validation_fraction"},
                   "report.expect.validation_loss is given but nothing validates; set "
                   "data.validation_fraction above 0 or name data.validation_tokens");
  if (draft.known("run.eval_every").value_or(0) > 0)
    draft.warn("run.eval_every", "run.eval_every has no influence: data.validation_fraction is 0");
}

/// DeepSpeed's pipeline key and our own switch say the same.
void derive_recompute(Draft& draft) {
  const auto interval = draft.known("pipeline.activation_checkpoint_interval");
  if (!interval || draft.mistakes.in("activation_checkpointing.enabled")) return;
  if (*interval > 1)
    draft.wrong("pipeline.activation_checkpoint_interval",
                fmt::format("pipeline.activation_checkpoint_interval: {} is not done yet; nearest: "
                            "1 (every transformer block)",
                            *interval));
  const bool enabled = draft.boolean("activation_checkpointing.enabled");
  if (*interval == 1 && !enabled && draft.given("activation_checkpointing.enabled"))
    draft.conflict({"pipeline.activation_checkpoint_interval", "activation_checkpointing.enabled"},
                   "pipeline.activation_checkpoint_interval 1 asks for recomputation, "
                   "activation_checkpointing.enabled false forbids it; keep one");
  if (*interval == 1 && !enabled) draft.derive("activation_checkpointing.enabled", true);
  if (draft.any_given_below("activation_checkpointing") &&
      !draft.given("activation_checkpointing.enabled") && *interval == 0)
    draft.warn("activation_checkpointing.enabled",
               "the section activation_checkpointing is given without `enabled`: nothing is "
               "recomputed (DeepSpeed leaves the switch to the model's code)");
}

void check_micro_batches(Draft& draft, std::int64_t accumulation) {
  const auto pipeline = draft.known("parallel.pipeline");
  const std::string* schedule = draft.at("parallel.schedule").text();
  if (!pipeline || *schedule != "interleaved" || accumulation % *pipeline == 0) return;
  draft.conflict({kAccumulation, "parallel.schedule", "parallel.pipeline"},
                 fmt::format("schedule interleaved deals micro-batches in groups of "
                             "parallel.pipeline {}: gradient_accumulation_steps {} does not divide "
                             "by it; nearest: {}",
                             *pipeline, accumulation,
                             std::max<std::int64_t>(1, accumulation / *pipeline) * *pipeline));
}

/// Sequence parallelism deals the rows of a micro-batch (samples x tokens) to tensor ranks: each
/// must get whole sequences or an equal part of one.
void check_sequence_shards(Draft& draft, std::int64_t micro) {
  const auto tensor = draft.known("parallel.tensor");
  const auto context = draft.known("model.context");
  if (!tensor || !context || draft.mistakes.in("parallel.sequence") ||
      !draft.boolean("parallel.sequence"))
    return;
  const std::int64_t tokens = micro * *context;
  const std::int64_t rows = tokens / *tensor;
  if (tokens % *tensor == 0 && rows > 0 && (rows % *context == 0 || *context % rows == 0)) return;
  draft.conflict(
      {kMicro, "model.context", "parallel.sequence", "parallel.tensor"},
      fmt::format("parallel.sequence deals {} samples of model.context {} to "
                  "parallel.tensor {} ranks: that is neither whole samples a rank nor an "
                  "equal part of one; change one of them",
                  micro, *context, *tensor));
}

}  // namespace

void resolve_batch(Draft& draft) {
  const auto data = draft.known("parallel.data");
  if (!data || draft.mistakes.in(kGlobal) || draft.mistakes.in(kMicro) ||
      draft.mistakes.in(kAccumulation))
    return;
  if (!draft.known(kGlobal) && !draft.known(kMicro)) {
    draft.wrong(kGlobal,
                "the batch is missing: give train_batch_size or "
                "train_micro_batch_size_per_gpu");
    return;
  }
  derive_batch(draft, *data);
  const std::int64_t global = draft.integer(kGlobal);
  const std::int64_t micro = draft.integer(kMicro);
  const std::int64_t accumulation = draft.integer(kAccumulation);
  if (micro * accumulation * *data != global || global == 0)
    draft.conflict({kGlobal, kMicro, kAccumulation},
                   fmt::format("the batch does not add up: train_batch_size {} is not "
                               "train_micro_batch_size_per_gpu {} x gradient_accumulation_steps {} "
                               "x parallel.data {}",
                               global, micro, accumulation, *data));
  check_micro_batches(draft, accumulation);
  check_sequence_shards(draft, micro);
}

void check_device_keys(Draft& draft) {
  for (const std::string_view key : {"parallel.transport", "run.cuda_graphs"}) {
    if (draft.mistakes.in(key) || draft.mistakes.in("run.device")) continue;
    if (draft.given(key) && draft.text("run.device") == "cpu")
      draft.warn(key, fmt::format("{} has no influence: run.device is \"cpu\"", key));
  }
}

void resolve_run(Draft& draft) {
  check_device_keys(draft);
  derive_recompute(draft);
  if (draft.mistakes.in("run.max_steps") || draft.mistakes.in("run.max_tokens")) return;
  const auto tokens = draft.known("run.max_tokens");
  auto steps = draft.known("run.max_steps");
  if (!steps && !tokens) {
    draft.wrong("run.max_steps",
                "the run's length is missing: give run.max_steps or run.max_tokens");
    return;
  }
  if (tokens) {
    const auto global = draft.known(kGlobal);
    const auto context = draft.known("model.context");
    if (!global || !context || *global < 1) return;
    const std::int64_t enough = divide_up(*tokens, checked_multiply(*global, *context));
    steps = std::min(steps.value_or(enough), enough);
    draft.derive("run.max_steps", *steps);
  }
  derive_schedule(draft, *steps);
  check_schedule(draft);
}

void make_paths_absolute(Draft& draft, const std::filesystem::path& folder) {
  for (const char* key : {"data.tokens", "data.validation_tokens", "checkpoint.path"})
    make_absolute(draft, key, folder);
  for (const char* key : {"zero_optimization.offload_optimizer.nvme_path",
                          "zero_optimization.offload_param.nvme_path"})
    if (!draft.at(key).is_auto()) make_absolute(draft, key, folder);  // auto: the run's folder
  for (const char* key : {"tensorboard.output_path", "csv_monitor.output_path"})
    if (const std::string* path = draft.at(key).text(); path && !path->empty())
      make_absolute(draft, key, folder);  // "": the run's folder
}

/// Monitors write nothing unless they are enabled.
void resolve_monitors(Draft& draft) {
  for (const std::string section : {"tensorboard", "csv_monitor"}) {
    const std::string switch_key = section + ".enabled";
    const std::string path = section + ".output_path";
    if (draft.mistakes.in(switch_key) || draft.boolean(switch_key)) continue;
    for (const std::string& key : {path, section + ".job_name"})
      if (draft.given(key) && !draft.given(switch_key))
        draft.warn(key, fmt::format("{} has no influence: {} is false", key, switch_key));
  }
}

void resolve_data(Draft& draft, const std::filesystem::path& folder) {
  make_paths_absolute(draft, folder);
  resolve_monitors(draft);
  if (draft.at("data.seed").is_auto() && !draft.mistakes.in("run.seed"))
    draft.derive("data.seed", draft.integer("run.seed"));
  if (!draft.at("data.validation_tokens").is_null() &&
      !draft.mistakes.in("data.validation_fraction")) {
    if (draft.given("data.validation_fraction") && draft.number("data.validation_fraction") > 0)
      draft.conflict({"data.validation_fraction", "data.validation_tokens"},
                     "data.validation_fraction and data.validation_tokens both say what validates; "
                     "keep one");
    draft.derive("data.validation_fraction", 0.0);
  }
  const Value& tokens = draft.at("data.tokens");
  const List* weights = draft.at("data.weights").list();
  const std::size_t files = tokens.list() ? tokens.list()->size() : 1;
  if (tokens.list() && files == 0)
    draft.wrong("data.tokens", "data.tokens is an empty list: name at least one token file");
  if (weights && weights->size() != files)
    draft.conflict({"data.weights", "data.tokens"},
                   fmt::format("data.weights has {} entries, data.tokens {}; expected one weight a "
                               "file",
                               weights->size(), files));
  check_evaluation(draft);
}

void check_tf32(Draft& draft) {
  for (const std::string_view key : {"tf32.enabled", "fp16.enabled", "bf16.enabled", "run.device"})
    if (draft.mistakes.in(key)) return;
  if (!draft.boolean("tf32.enabled")) return;
  for (const std::string_view other : {"fp16.enabled", "bf16.enabled"})
    if (draft.boolean(other))
      draft.conflict({"tf32.enabled", other},
                     fmt::format("tf32.enabled is for products of tensors in fp32, and {} is true; "
                                 "enable one",
                                 other));
  if (draft.text("run.device") == "cpu")
    draft.warn("tf32.enabled", "tf32.enabled has no influence: run.device is \"cpu\"");
}

void check_precision(Draft& draft) {
  if (!draft.mistakes.in("fp16.enabled") && !draft.mistakes.in("bf16.enabled") &&
      draft.boolean("fp16.enabled") && draft.boolean("bf16.enabled"))
    draft.conflict({"fp16.enabled", "bf16.enabled"},
                   "fp16.enabled and bf16.enabled are both true; enable one");
  if (!draft.mistakes.in("fp8.enabled") && !draft.mistakes.in("bf16.enabled") &&
      draft.boolean("fp8.enabled") && !draft.boolean("bf16.enabled"))
    draft.conflict({"fp8.enabled", "bf16.enabled"},
                   "fp8.enabled is for products of tensors in bf16; nearest: bf16.enabled true");
  check_tf32(draft);
  if (draft.mistakes.in("fp16.loss_scale") || draft.mistakes.in("fp16.min_loss_scale") ||
      draft.mistakes.in("fp16.initial_scale_power"))
    return;
  if (draft.number("fp16.loss_scale") == 0 &&
      draft.number("fp16.min_loss_scale") > std::exp2(draft.number("fp16.initial_scale_power")))
    draft.conflict({"fp16.min_loss_scale", "fp16.initial_scale_power"},
                   "fp16.min_loss_scale is above the initial scale 2^initial_scale_power");
  const List* betas = draft.at("optimizer.params.betas").list();
  if (betas && betas->size() != 2)
    draft.wrong("optimizer.params.betas",
                fmt::format("optimizer.params.betas: expected [beta1, beta2]; found {}",
                            to_json(draft.at("optimizer.params.betas"))));
}

}  // namespace trireme::deck
