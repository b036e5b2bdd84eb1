// The process grid: aliases of its axes, "auto", and whether the model divides by it.
#include "lib/deck/draft.hpp"

#include <fmt/format.h>

#include <numeric>

namespace trireme::deck {

namespace {

/// An axis that goes by several names: `key` if given, else the alias if it says anything
/// (differs from `silent`); both must agree.
void settle_alias(Draft& draft, std::string_view key, std::string_view alias, std::int64_t silent) {
  const auto other = draft.known(alias);
  if (!other || *other == silent) return;
  if (draft.open(key)) {
    if (!draft.mistakes.in(key)) draft.derive(key, *other);
  } else if (const auto own = draft.known(key); own && *own != *other) {
    draft.conflict({key, alias}, fmt::format("{} {} contradicts {} {}: they name the same axis; "
                                             "keep one",
                                             alias, *other, key, *own));
  }
}

void default_axis(Draft& draft, std::string_view key) {
  if (draft.open(key) && !draft.mistakes.in(key)) draft.derive(key, std::int64_t{1});
}

void derive_data_axis(Draft& draft, std::optional<std::int64_t> ranks) {
  const auto tensor = draft.known("parallel.tensor");
  const auto pipeline = draft.known("parallel.pipeline");
  if (!tensor || !pipeline || draft.mistakes.in("parallel.data")) return;
  if (!ranks) return default_axis(draft, "parallel.data");
  const std::int64_t model_ranks = *tensor * *pipeline;
  if (draft.open("parallel.data")) {
    if (*ranks % model_ranks != 0)
      return draft.conflict(
          {"parallel.tensor", "parallel.pipeline", "parallel.data"},
          fmt::format("{} ranks do not divide by parallel.tensor {} x parallel.pipeline {}; start "
                      "a multiple of {} ranks or change the axes",
                      *ranks, *tensor, *pipeline, model_ranks));
    draft.derive("parallel.data", *ranks / model_ranks);
  } else if (const auto data = draft.known("parallel.data"); *data * model_ranks != *ranks) {
    draft.conflict({"parallel.data", "parallel.tensor", "parallel.pipeline"},
                   fmt::format("the grid data {} x tensor {} x pipeline {} needs {} ranks, {} were "
                               "started; \"parallel.data\": \"auto\" follows the ranks",
                               *data, *tensor, *pipeline, *data * model_ranks, *ranks));
  }
}

/// Largest size of the tensor axis, at most `tensor`, that divides what it must.
std::int64_t nearest_tensor(const Draft& draft, std::int64_t tensor) {
  const auto divides = [&](const char* key) {
    const auto size = draft.known(key);
    return !size || *size % tensor == 0;
  };
  while (!divides("model.heads") || !divides("model.kv_heads") || !divides("model.ffn_hidden"))
    --tensor;
  return tensor;
}

void check_tensor_axis(Draft& draft) {
  const auto tensor = draft.known("parallel.tensor");
  if (!tensor) return;
  for (const char* key : {"model.heads", "model.kv_heads", "model.ffn_hidden"})
    if (const auto size = draft.known(key); size && *size % *tensor != 0)
      draft.conflict({key, "parallel.tensor"},
                     fmt::format("{} {} does not divide by parallel.tensor {}; nearest: "
                                 "parallel.tensor {}",
                                 key, *size, *tensor, nearest_tensor(draft, *tensor)));
  if (!draft.mistakes.in("parallel.sequence") && draft.boolean("parallel.sequence") && *tensor == 1)
    draft.warn("parallel.sequence", "parallel.sequence has no influence with parallel.tensor 1");
}

void check_layers_per_stage(Draft& draft, std::int64_t stages, std::int64_t layers) {
  const List* given = draft.at("parallel.layers_per_stage").list();
  if (given == nullptr || draft.mistakes.in("parallel.layers_per_stage")) return;
  const auto sum =
      std::accumulate(given->begin(), given->end(), std::int64_t{0},
                      [](std::int64_t total, const Value& v) { return total + *v.integer(); });
  if (static_cast<std::int64_t>(given->size()) != stages || sum != layers)
    draft.conflict({"parallel.layers_per_stage", "parallel.pipeline", "parallel.virtual_stages",
                    "model.layers"},
                   fmt::format("parallel.layers_per_stage has {} entries with the sum {}; expected "
                               "{} entries (pipeline x virtual_stages) with the sum {} "
                               "(model.layers)",
                               given->size(), sum, stages, layers));
}

void check_no_chunk_is_empty(Draft& draft) {
  const List* given = draft.at("parallel.layers_per_stage").list();
  if (given == nullptr || draft.mistakes.in("parallel.layers_per_stage")) return;
  // The first chunk has the embedding, the last one the head.
  for (std::size_t i = 1; i + 1 < given->size(); ++i)
    if (*(*given)[i].integer() == 0)
      draft.wrong(
          "parallel.layers_per_stage",
          fmt::format("parallel.layers_per_stage leaves stage {} without a block; give it a "
                      "layer",
                      i));
}

void check_pipeline_axis(Draft& draft) {
  const auto pipeline = draft.known("parallel.pipeline");
  const auto chunks = draft.known("parallel.virtual_stages");
  const auto layers = draft.known("model.layers");
  const std::string* schedule = draft.at("parallel.schedule").text();
  if (!pipeline || !chunks || draft.mistakes.in("parallel.schedule")) return;
  const bool interleaved = *schedule == "interleaved";
  if (interleaved && *chunks == 1)
    draft.conflict({"parallel.schedule", "parallel.virtual_stages"},
                   "schedule interleaved needs parallel.virtual_stages >= 2; found 1");
  if (!interleaved && *chunks > 1)
    draft.conflict(
        {"parallel.schedule", "parallel.virtual_stages"},
        fmt::format("parallel.virtual_stages {} needs parallel.schedule \"interleaved\"; "
                    "found \"{}\"",
                    *chunks, *schedule));
  if (interleaved && *pipeline == 1)
    draft.conflict({"parallel.schedule", "parallel.pipeline"},
                   "schedule interleaved needs parallel.pipeline >= 2; found 1");
  if (!layers) return;
  const std::int64_t blocks = *layers + 2;  // with the embedding and the head
  if (*pipeline * *chunks > blocks)
    draft.conflict({"parallel.pipeline", "parallel.virtual_stages", "model.layers"},
                   fmt::format("{} stages (pipeline {} x virtual_stages {}) are more than the "
                               "model's {} blocks (embedding, {} layers, head)",
                               *pipeline * *chunks, *pipeline, *chunks, blocks, *layers));
  check_layers_per_stage(draft, *pipeline * *chunks, *layers);
  check_no_chunk_is_empty(draft);
}

}  // namespace

void resolve_grid(Draft& draft, std::optional<std::int64_t> ranks) {
  settle_alias(draft, "parallel.tensor", "tensor_parallel.autotp_size", 0);
  settle_alias(draft, "parallel.tensor", "tensor_parallel.tp.tp_size", 1);
  settle_alias(draft, "parallel.pipeline", "pipeline.stages", 0);
  settle_alias(draft, "parallel.data", "data_parallel_size", 0);
  default_axis(draft, "parallel.tensor");
  default_axis(draft, "parallel.pipeline");
  derive_data_axis(draft, ranks);
  check_tensor_axis(draft);
  check_pipeline_axis(draft);
}

}  // namespace trireme::deck
