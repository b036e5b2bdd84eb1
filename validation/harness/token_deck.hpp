#pragma once
// A folder with a small token file and decks on it, for tests that run the Trainer.

#include "io/tokens/writer.hpp"
#include "lib/deck/deck.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/unit/io/test_files.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace trireme::validation {

/// Collective. Files go with the object.
class TokenDecks {
 public:
  static constexpr int kVocabulary = 29;

  TokenDecks() : folder_(true) {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) write_tokens();
    MPI_Barrier(MPI_COMM_WORLD);
  }

  std::string path(const std::string& name) const { return folder_ / name; }

  /// A tiny LLaMA on the tokens, for so many ranks, on the test's device; `extra` holds more
  /// top-level keys.
  deck::Deck deck(std::int64_t ranks, const std::string& extra,
                  const std::vector<std::string>& overrides = {}) const {
    const std::string text = fmt::format(
        R"({{
  "model": {{"family": "llama", "vocabulary": {}, "context": 8, "layers": 2, "hidden": 16,
            "heads": 4, "kv_heads": 2, "ffn_hidden": 24, "tied_embeddings": true,
            "dropout": {{"residual": 0.1}}}},
  "data": {{"tokens": "tokens.h5", "validation_fraction": 0.1}},
  "train_batch_size": 8, "train_micro_batch_size_per_gpu": 1,
  "optimizer": {{"type": "AdamW", "params": {{"lr": 1e-2, "weight_decay": 0.1}}}},
  "scheduler": {{"type": "WarmupCosineLR",
                "params": {{"warmup_num_steps": 4, "total_num_steps": "auto"}}}},
  "run": {{"max_steps": 20, "eval_samples": 4, "device": "{}"}}, "steps_per_print": 1000,
  "report": {{"peak_flops": 1e10}}{}
}})",
        kVocabulary, test_device(), extra);
    return deck::load(deck::Source{text, path("deck.json")}, overrides, ranks);
  }

 private:
  /// A language with rules: the next token is a function of the last one, mostly.
  void write_tokens() const {
    io::Provenance provenance;
    provenance.vocabulary_size = kVocabulary;
    io::TokenWriter writer(path("tokens.h5"), provenance);
    std::uint32_t state = 1;
    for (int document = 0; document < 40; ++document) {
      std::vector<std::uint32_t> tokens;
      for (int i = 0; i < 50; ++i) {
        state = state * 1664525u + 1013904223u;
        const std::uint32_t last = tokens.empty() ? 0 : tokens.back();
        tokens.push_back(((state >> 24) % 4 == 0 ? state >> 16 : 3 * last + 1) % kVocabulary);
      }
      writer.append(tokens);
    }
    writer.finish();
  }

  test::TestFolder folder_;
};

}  // namespace trireme::validation
