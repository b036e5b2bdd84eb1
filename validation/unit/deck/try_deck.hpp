#pragma once
// A deck from text, for tests.

#include "kernels/base/error.hpp"
#include "lib/deck/draft.hpp"

#include <string>
#include <vector>

namespace trireme::deck::testing {

/// A deck that is right; `more` is spliced in as its first keys.
inline std::string small_deck(const std::string& more = "") {
  return "{\n" + more + R"(
  "model": {"family": "llama", "layers": 4, "hidden": 64, "heads": 4, "kv_heads": 2,
            "vocabulary": 512, "context": 32},
  "data": {"tokens": "tokens.h5"},
  "train_batch_size": 8,
  "gradient_clipping": 1.0,
  "run": {"max_steps": 100}
})";
}

inline Deck load_text(const std::string& text, const std::vector<std::string>& overrides = {},
                      std::optional<std::int64_t> ranks = 1) {
  return load(Source{text, "/decks/deck.json"}, overrides, ranks);
}

/// The same without the refusal of what the engine does not run yet (lib/deck/unbuilt.cpp).
inline Deck resolve_text(const std::string& text, const std::vector<std::string>& overrides = {},
                         std::optional<std::int64_t> ranks = 1) {
  const Draft draft = resolve_draft(Source{text, "/decks/deck.json"}, overrides, ranks);
  draft.mistakes.throw_if_any();
  return build_deck(draft, "/decks/deck.json");
}

/// The error text of a deck that must be refused with exit code 2; empty when it is accepted.
inline std::string refusal(const std::string& text, const std::vector<std::string>& overrides = {},
                           std::optional<std::int64_t> ranks = 1) {
  try {
    load_text(text, overrides, ranks);
  } catch (const Error& error) {
    return error.code() == Exit::kUsage ? error.text() : "another exit code: " + error.text();
  }
  return "";
}

/// The mistakes of a deck apart from what the engine does not run yet.
inline std::string mistakes_of(const std::string& text,
                               const std::vector<std::string>& overrides = {},
                               std::optional<std::int64_t> ranks = 1) {
  try {
    resolve_text(text, overrides, ranks);
  } catch (const Error& error) {
    return error.code() == Exit::kUsage ? error.text() : "another exit code: " + error.text();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// The text of the first warning about `key`, empty without one.
inline std::string warning_about(const Deck& deck, const std::string& key) {
  for (const Warning& warning : deck.warnings)
    if (warning.key == key) return warning.text;
  return "";
}

}  // namespace trireme::deck::testing
