// Presets, family defaults and rules for the model's open dims; contradictions between them.
#include "lib/deck/draft.hpp"
#include "lib/deck/frozen_blocks.hpp"
#include "lib/deck/nearest.hpp"
#include "lib/deck/presets.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::deck {

namespace {

void fill(Draft& draft, std::string_view path, decltype(Value::data) data) {
  if (draft.open(path) && !draft.mistakes.in(path)) draft.derive(path, std::move(data));
}

/// The preset named, null without one; an unknown name is a mistake.
const Preset* chosen_preset(Draft& draft) {
  const std::string* name = draft.at("model.preset").text();
  if (name == nullptr) return nullptr;
  const Preset* preset = find_preset(*name);
  if (preset == nullptr) {
    const std::string_view meant = nearest(*name, preset_names());
    draft.wrong("model.preset",
                fmt::format("model.preset: no model is called \"{}\"{}; known are {}", *name,
                            meant.empty() ? "" : fmt::format("; nearest: \"{}\"", meant),
                            fmt::join(preset_names(), ", ")));
  }
  return preset;
}

void fill_from_preset(Draft& draft, const Preset& preset) {
  fill(draft, "model.family", std::string(name_of(preset.family)));
  fill(draft, "model.layers", preset.layers);
  fill(draft, "model.vocabulary", preset.vocabulary);
  fill(draft, "model.context", preset.context);
  fill(draft, "model.tied_embeddings", preset.tied_embeddings);
  fill(draft, "model.rotary_theta", preset.rotary_theta);
  // A deck that sets the width itself wants the family's rules for what hangs on it.
  if (draft.open("model.hidden") && draft.open("model.heads")) {
    fill(draft, "model.kv_heads", preset.kv_heads);
    fill(draft, "model.head_dim", preset.head_dim);
    fill(draft, "model.ffn_hidden", preset.ffn_hidden);
  }
  fill(draft, "model.hidden", preset.hidden);
  fill(draft, "model.heads", preset.heads);
}

void fill_from_family(Draft& draft, bool llama) {
  fill(draft, "model.norm.type", std::string(llama ? "rmsnorm" : "layernorm"));
  fill(draft, "model.activation", std::string(llama ? "swiglu" : "gelu_tanh"));
  fill(draft, "model.positions", std::string(llama ? "rotary" : "learned"));
  for (const char* key : {"model.bias.qkv", "model.bias.projection", "model.bias.mlp"})
    fill(draft, key, !llama);
  fill(draft, "model.tied_embeddings", !llama);
  fill(draft, "model.rotary_theta", 10000.0);
  fill(draft, "model.context", std::int64_t{1024});
}

void fill_from_rules(Draft& draft) {
  const auto hidden = draft.known("model.hidden");
  const auto heads = draft.known("model.heads");
  if (heads) fill(draft, "model.kv_heads", *heads);
  if (hidden && heads && draft.open("model.head_dim")) {
    if (*hidden % *heads == 0)
      fill(draft, "model.head_dim", *hidden / *heads);
    else
      draft.conflict(
          {"model.hidden", "model.heads"},
          fmt::format("model.hidden {} does not divide by model.heads {}; change one, or "
                      "give model.head_dim",
                      *hidden, *heads));
  }
  if (!hidden || draft.at("model.activation").text() == nullptr) return;
  const bool gated = draft.text("model.activation") == "swiglu";
  fill(draft, "model.ffn_hidden",
       gated ? (*hidden * 8 / 3 + 255) / 256 * 256 : std::int64_t{4} * *hidden);
}

void check_dims(Draft& draft) {
  const auto heads = draft.known("model.heads");
  const auto kv_heads = draft.known("model.kv_heads");
  if (heads && kv_heads && *heads % *kv_heads != 0)
    draft.conflict(
        {"model.heads", "model.kv_heads"},
        fmt::format("model.heads {} does not divide by model.kv_heads {}", *heads, *kv_heads));
  const auto head_dim = draft.known("model.head_dim");
  const std::string* positions = draft.at("model.positions").text();
  if (head_dim && positions && *positions == "rotary" && *head_dim % 2 != 0)
    draft.conflict({"model.head_dim", "model.positions"},
                   fmt::format("rotary positions turn pairs: model.head_dim {} is odd; choose an "
                               "even one",
                               *head_dim));
}

void check_frozen(Draft& draft) {
  constexpr std::string_view kKey = "model.frozen";
  const List* names = draft.at(kKey).list();
  const auto layers = draft.known("model.layers");
  if (names == nullptr || names->empty() || !layers || draft.mistakes.in(kKey)) return;
  for (const Value& name : *names)
    if (!blocks_named(*name.text(), *layers))
      return draft.wrong(
          kKey, fmt::format("model.frozen: no block is called \"{}\"; expected \"embedding\", "
                            "\"layers.0\" to \"layers.{}\", ranges of them such as "
                            "\"layers.0-{}\", or \"head\"",
                            *name.text(), *layers - 1, *layers - 1));
  const std::vector<bool> frozen = blocks_in(*names, *layers);
  if (draft.boolean("model.tied_embeddings") && frozen.front() != frozen.back())
    draft.conflict({kKey, "model.tied_embeddings"},
                   "model.frozen names one of embedding and head, which share a matrix: name both, "
                   "or set model.tied_embeddings to false");
  if (std::find(frozen.begin(), frozen.end(), false) == frozen.end())
    draft.wrong(kKey, "model.frozen names every block: leave one to be trained");
}

}  // namespace

void resolve_model(Draft& draft) {
  const Preset* preset = chosen_preset(draft);
  if (preset) fill_from_preset(draft, *preset);
  if (draft.mistakes.in("model.preset")) return;
  if (draft.open("model.family")) {
    if (!draft.mistakes.in("model.family"))
      draft.wrong("model.family",
                  "model.family is missing: \"gpt\" or \"llama\", or give "
                  "model.preset");
    return;
  }
  fill_from_family(draft, draft.text("model.family") == "llama");
  fill_from_rules(draft);
  for (const char* key : {"model.layers", "model.hidden", "model.heads", "model.vocabulary"})
    if (draft.open(key) && !draft.mistakes.in(key))
      draft.wrong(key, fmt::format("{} is missing: give it, or model.preset", key));
  check_dims(draft);
  check_frozen(draft);
}

}  // namespace trireme::deck
