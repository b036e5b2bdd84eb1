#include "lib/deck/table.hpp"

#include "lib/deck/table_sections.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

namespace trireme::deck {

namespace {

/// Sections whose schema in DeepSpeed drops "auto" and so takes it for the default of any key.
constexpr std::array kAutoIsDefault = {
    "fp16.",        "bf16.",        "zero_optimization.", "tensor_parallel.", "compile.",
    "comet.",       "wandb.",       "hybrid_engine.",     "comms_logger.",    "timers.",
    "tensorboard.", "csv_monitor.", "optimizer.params.",  "scheduler.params."};

std::vector<Section> make_sections() {
  std::vector<Section> all = {
      model_section(),      data_section(),        batch_section(),      parallel_section(),
      optimizer_section(),  scheduler_section(),   precision_section(),  recompute_section(),
      zero_section(),       offload_section(),     checkpoint_section(), run_section(),
      report_section(),     monitor_section(),     tuning_section(),     expert_section(),
      efficiency_section(), compression_section(), compile_section()};
  for (Section& section : all)
    for (Row& row : section.rows)
      for (const std::string_view prefix : kAutoIsDefault)
        if (row.path.starts_with(prefix) && row.type.automatic == Auto::no)
          row.type.automatic = Auto::standard;
  return all;
}

/// Whether `path` follows the whole pattern, or (not `whole`) a proper beginning of it.
bool matches(std::string_view pattern, std::string_view path, bool whole) {
  const auto want = split_path(pattern);
  const auto have = split_path(path);
  if (whole ? have.size() != want.size() : have.size() >= want.size()) return false;
  for (std::size_t i = 0; i < have.size(); ++i)
    if (want[i] != "*" && want[i] != have[i]) return false;
  return true;
}

template <class Visit>
void for_each_row(Visit visit) {
  for (const Section& section : sections())
    for (const Row& row : section.rows) visit(row);
}

}  // namespace

const std::vector<Section>& sections() {
  static const std::vector<Section> all = make_sections();
  return all;
}

const Row* find_row(std::string_view path) {
  static const auto exact = [] {
    std::unordered_map<std::string_view, const Row*> rows;
    for_each_row([&](const Row& row) { rows.emplace(row.path, &row); });
    return rows;
  }();
  if (const auto it = exact.find(path); it != exact.end()) return it->second;
  const Row* found = nullptr;
  for_each_row([&](const Row& row) {
    if (row.path.ends_with('*') && matches(row.path, path, true)) found = &row;
  });
  return found;
}

bool is_section(std::string_view path) {
  bool found = false;
  for_each_row([&](const Row& row) { found = found || matches(row.path, path, false); });
  return found;
}

std::vector<std::string_view> names_below(std::string_view path) {
  const std::size_t depth = path.empty() ? 0 : split_path(path).size();
  std::vector<std::string_view> names;
  const auto add = [&](std::string_view name) {
    if (name != "*" && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  };
  for_each_row([&](const Row& row) {
    if (path.empty() || matches(row.path, path, false)) add(split_path(row.path)[depth]);
  });
  return names;
}

bool takes_any_name(std::string_view path) {
  bool any_name = false;
  for_each_row([&](const Row& row) {
    if (matches(row.path, path, false))
      any_name = any_name || split_path(row.path)[split_path(path).size()] == "*";
  });
  return any_name;
}

const std::vector<Alias>& aliases() {
  static const std::vector<Alias> all = {
      {"bfloat16", "bf16", ""},
      {"aio.thread_count", "aio.intra_op_parallelism",
       "DeepSpeed's documents call the key thread_count, its parser reads only "
       "intra_op_parallelism; here both mean the same"},
      {"elasticity.prefer_large_batch", "elasticity.prefer_larger_batch", ""},
      {"tensor_parallel.tensor_parallel", "tensor_parallel.tp", ""},
      {"zero_optimization.prefetch_bucket_size", "zero_optimization.stage3_prefetch_bucket_size",
       ""},
      {"zero_optimization.param_persistence_threshold",
       "zero_optimization.stage3_param_persistence_threshold", ""},
      {"zero_optimization.model_persistence_threshold",
       "zero_optimization.stage3_model_persistence_threshold", ""},
      {"zero_optimization.max_live_parameters", "zero_optimization.stage3_max_live_parameters", ""},
      {"zero_optimization.max_reuse_distance", "zero_optimization.stage3_max_reuse_distance", ""},
      {"zero_optimization.module_granularity_threshold",
       "zero_optimization.stage3_module_granularity_threshold", ""},
      {"zero_optimization.gather_16bit_weights_on_model_save",
       "zero_optimization.stage3_gather_16bit_weights_on_model_save", ""},
      {"zero_optimization.stage3_gather_fp16_weights_on_model_save",
       "zero_optimization.stage3_gather_16bit_weights_on_model_save", "an old name"},
      {"zero_optimization.use_all_reduce_for_fetch_params",
       "zero_optimization.stage3_use_all_reduce_for_fetch_params", ""},
  };
  return all;
}

bool in_fingerprint(std::string_view path) {
  constexpr std::array kept = {
      "model.", "data.", "optimizer.",  "scheduler.",        "fp16.",    "bf16.",
      "fp8.",   "tf32.", "data_types.", "gradient_clipping", "run.seed", "train_batch_size"};
  constexpr std::array free = {"model.preset", "data.read_ahead", "optimizer.legacy_fusion"};
  const auto begins = [&](std::string_view prefix) {
    return prefix.ends_with('.') ? path.starts_with(prefix) : path == prefix;
  };
  return std::any_of(kept.begin(), kept.end(), begins) &&
         std::none_of(free.begin(), free.end(), begins);
}

}  // namespace trireme::deck
