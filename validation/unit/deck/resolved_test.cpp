// The resolved deck: complete, loads to itself; the fingerprint and what it leaves out.
#include "lib/deck/parse.hpp"
#include "lib/deck/table.hpp"
#include "validation/unit/deck/try_deck.hpp"

#include <gtest/gtest.h>

namespace trireme::deck::testing {
namespace {

const std::vector<std::string> kDecks = {
    small_deck(),
    small_deck(R"("optimizer": {"type": "SGD"}, "scheduler": {"type": "WarmupCosineLR"},
                  "bf16": {"enabled": true},)"),
    small_deck(R"("optimizer": {"type": "Lamb", "params": {"lr": 0.3}},
                  "scheduler": {"type": "OneCycle", "params": {"cycle_min_lr": 1e-4,
                  "cycle_max_lr": 0.1, "cycle_first_step_size": "auto"}},
                  "tensor_parallel": {"autotp_size": 2}, "fp16": {"enabled": true},
                  "zero_optimization": {"reduce_bucket_size": 5e7}, "amp": {"opt_level": "O1"},)"),
};

TEST(Resolved, LoadsToItself) {
  for (const std::string& text : kDecks) {
    const Deck first = load_text(text, {}, 2);
    const Deck second = load(Source{first.resolved_json, "/elsewhere/deck.resolved.json"}, {}, 2);
    EXPECT_EQ(first.resolved_json, second.resolved_json);
    EXPECT_EQ(first.fingerprint, second.fingerprint);
    EXPECT_TRUE(changes(first.resolved_json, second.resolved_json).empty());
  }
}

TEST(Resolved, HoldsEveryKeyThatApplies) {
  const Deck deck = load_text(kDecks[0]);
  const auto root = parse_value(deck.resolved_json);
  ASSERT_TRUE(root && root->object());
  for (const Section& section : sections()) {
    for (const Row& row : section.rows) {
      if (row.path.find('*') != std::string_view::npos || !row.variants.empty() ||
          row.path.starts_with("scheduler.params."))
        continue;
      const Value* at = &*root;
      for (const std::string_view part : split_path(row.path))
        at = at && at->object() ? find_member(*at->object(), part) : nullptr;
      EXPECT_NE(at, nullptr) << row.path;
    }
  }
}

TEST(Fingerprint, KnowsWhatARunMustKeep) {
  const std::string text = small_deck(R"("scheduler": {"type": "WarmupLR"},)");
  const std::string base = load_text(text).fingerprint;
  EXPECT_EQ(base.size(), 16u);
  for (const char* kept :
       {"model.layers=5", "model.dropout.residual=0.1", "data.tokens=other.h5", "data.seed=7",
        "optimizer.params.lr=0.5", "optimizer.type=Lion", "scheduler.params.warmup_num_steps=50",
        "bf16.enabled=true", "train_batch_size=16", "run.seed=3", "gradient_clipping=0.5"})
    EXPECT_NE(load_text(text, {kept}).fingerprint, base) << kept;
  for (const char* free :
       {"run.max_minutes=3", "run.eval_every=10", "report.html=false", "checkpoint.every_steps=5",
        "steps_per_print=3", "data.tokens=elsewhere/tokens.h5", "data.read_ahead=4",
        "gradient_accumulation_steps=2", "activation_checkpointing.enabled=true", "run.threads=2",
        "report.expect.validation_loss=[1,2]"})
    EXPECT_EQ(load_text(text, {free}).fingerprint, base) << free;
  const std::vector<std::string> grid = {"parallel.tensor=2", "parallel.pipeline=2"};
  EXPECT_EQ(load_text(text, grid, 8).fingerprint, base);
}

TEST(Fingerprint, ChangesNameKeysAndWhetherTheyMatter) {
  const Deck before = load_text(small_deck());
  const Deck after = load_text(small_deck(), {"model.layers=5", "report.html=false",
                                              "data.tokens=moved/tokens.h5", "optimizer.type=SGD"});
  bool layers = false, html = false, tokens = false, eps = false;
  for (const Change& change : changes(before.resolved_json, after.resolved_json)) {
    if (change.key == "model.layers")
      layers = change.before == "4" && change.after == "5" && change.in_fingerprint;
    if (change.key == "report.html") html = change.after == "false" && !change.in_fingerprint;
    if (change.key == "data.tokens") tokens = !change.in_fingerprint;
    if (change.key == "optimizer.params.eps")
      eps = change.after == "absent" && change.in_fingerprint;
  }
  EXPECT_TRUE(layers && html && tokens && eps);
  EXPECT_THROW(changes("not json", after.resolved_json), Error);
}

TEST(Fingerprint, AKeyThatAnEarlierVersionDidNotKnowHadItsDefault) {
  const Deck now = load_text(small_deck());
  std::string earlier = now.resolved_json;
  const std::string fp8 = R"("fp8": {)";
  const std::size_t begin = earlier.find(fp8);
  ASSERT_NE(begin, std::string::npos);
  const std::size_t end = earlier.find("},", begin);
  earlier.erase(begin, end + 2 - begin);
  const auto matters = [&](const Deck& deck) {
    bool found = false;
    for (const Change& change : changes(earlier, deck.resolved_json))
      if (change.key.starts_with("fp8.")) found = found || change.in_fingerprint;
    return found;
  };
  EXPECT_FALSE(matters(now));
  EXPECT_TRUE(matters(load_text(small_deck(), {"bf16.enabled=true", "fp8.enabled=true"})));
}

TEST(Resolved, NumbersKeepTheirBits) {
  for (const double x : {0.1, 1e-8, 1.0 / 3, 6.02e23, 5e8, -0.0}) {
    const auto back = parse_value(to_json({x}));
    ASSERT_TRUE(back && std::get_if<double>(&back->data)) << x;
    EXPECT_EQ(std::get<double>(back->data), x);
  }
  const std::string tricky = "a\"b\\c\n\t\x01 é";
  EXPECT_EQ(*parse_value(to_json({tricky}))->text(), tricky);
}

}  // namespace
}  // namespace trireme::deck::testing
