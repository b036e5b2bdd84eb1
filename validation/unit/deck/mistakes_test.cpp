// Every class of mistake: its line, its nearest known key, and all of them in one go.
#include "validation/unit/deck/try_deck.hpp"

#include <gtest/gtest.h>

#include <random>

namespace trireme::deck::testing {
namespace {

struct Case {
  const char* name;
  std::string more;  ///< keys added to the small deck, from line 2 on
  std::vector<std::string> overrides;
  std::string expected;  ///< part of the message
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Mistake : public ::testing::TestWithParam<Case> {};

TEST_P(Mistake, IsNamedWithItsLine) {
  const Case& c = GetParam();
  const std::string text = refusal(small_deck(c.more), c.overrides);
  EXPECT_TRUE(contains(text, c.expected)) << "expected: " << c.expected << "\nfound: " << text;
  EXPECT_TRUE(text.starts_with("1 mistake in the deck")) << text;
}

const std::vector<Case> kCases = {
    {"UnknownKey",
     R"("zero_optimization": {
  "stagee": 0},)",
     {},
     R"(deck.json:3: unknown key "stagee" in zero_optimization; nearest known: "stage")"},
    {"UnknownAtTop",
     R"("gradient_clipp1ng": 1,)",
     {},
     R"(deck.json:2: unknown key "gradient_clipp1ng"; nearest known: "gradient_clipping")"},
    {"KeyInWrongSection",
     R"("max_steps": 5,)",
     {},
     R"(deck.json:2: unknown key "max_steps"; nearest known: "run.max_steps")"},
    {"NothingNear",
     R"("qqqqqqqqqqqqqqqq": 5,)",
     {},
     R"(deck.json:2: unknown key "qqqqqqqqqqqqqqqq")"},
    {"Duplicate",
     R"("fp16": {"enabled": false,
 "enabled": true},)",
     {},
     R"(deck.json:3: duplicate key "enabled": it stands in line 2 already)"},
    {"TwoNamesOfOneSection",
     R"("bf16": {"enabled": false},
 "bfloat16": {"enabled": false},)",
     {},
     "deck.json:3: bf16.enabled is given twice, under two names"},
    {"WrongType",
     R"("steps_per_print": "often",)",
     {},
     R"(deck.json:2: steps_per_print: expected an integer >= 1, or null; found "often" (a text))"},
    {"OutOfRange",
     R"("data_parallel_size": 0,)",
     {},
     "deck.json:2: data_parallel_size: expected an integer >= 1 and <= 1000000, or null; found 0"},
    {"FractionForInteger",
     R"("steps_per_print": 1.5,)",
     {},
     "deck.json:2: steps_per_print: expected an integer >= 1, or null; found 1.5 (a number)"},
    {"AutoWhereNothingDerives",
     R"("dump_state": "auto",)",
     {},
     R"(deck.json:2: dump_state: expected true or false; found "auto")"},
    {"WrongElement",
     R"("optimizer": {"type": "Adam", "params": {"betas": [0.9, "x"]}},)",
     {},
     "deck.json:2: optimizer.params.betas: expected a list, each a number >= 0 and < 1"},
    {"Choice",
     R"("parallel": {
 "schedule": "1f2b"},)",
     {},
     R"(deck.json:3: parallel.schedule: expected one of "gpipe", "1f1b", "interleaved"; found "1f2b" (a text); nearest: "1f1b")"},
    {"SectionExpected",
     R"("optimizer": 3,)",
     {},
     "deck.json:2: optimizer: expected a section { ... }; found 3"},
    {"NotYetValue",
     R"("zero_optimization": {"zero_hpz_partition_size": 8},)",
     {},
     "deck.json:2: zero_optimization.zero_hpz_partition_size: 8 is not done yet; nearest: 1; "
     "mics_shard_size"},
    {"NotYetChoice",
     R"("optimizer": {"type": "Muon"},)",
     {},
     R"(deck.json:2: optimizer.type: "Muon" is not done yet; choose one of "Adam", "AdamW", "SGD", "Lion", "Lamb")"},
    {"Refused",
     R"("optimizer": {"type": "Adam", "params": {"max_grad_norm": 1.0}},)",
     {},
     "optimizer.params.max_grad_norm: use gradient_clipping"},
    {"ParameterOfAnotherOptimizer",
     R"("optimizer": {"type": "SGD", "params": {"betas": [0.9, 0.99]}},)",
     {},
     "optimizer.params.betas does not belong to SGD but to Adam AdamW Lion Lamb"},
    {"ParameterWithoutScheduler",
     R"("scheduler": {"params": {"warmup_num_steps": 3}},)",
     {},
     "scheduler.params.warmup_num_steps is given without scheduler.type"},
    {"MissingParameter",
     R"("scheduler": {"type": "OneCycle", "params": {"cycle_max_lr": 0.1}},)",
     {},
     "scheduler.params.cycle_min_lr is missing"},
    {"UnknownOverride",
     "",
     {"run.max_stepz=4"},
     R"(--set run.max_stepz=4: unknown key "max_stepz" in run; nearest known: "max_steps")"},
    {"MistypedOverride",
     "",
     {"run.max_steps=many"},
     R"(--set run.max_steps=many: run.max_steps: expected an integer >= 1 and <= 1000000000000, or "auto"; found "many")"},
    {"OverrideWithoutValue", "", {"run.max_steps"}, "--set run.max_steps: expected a.b=c"},
    {"Fp16AndBf16",
     R"("fp16": {"enabled": true},
 "bf16": {"enabled": true},)",
     {},
     "deck.json:3: fp16.enabled and bf16.enabled are both true"},
    {"Tf32AndBf16",
     R"("bf16": {"enabled": true},
 "tf32": {"enabled": true},)",
     {"run.device=cuda"},
     "tf32.enabled is for products of tensors in fp32, and bf16.enabled is true; enable one"},
    {"BatchTriple",
     R"("train_micro_batch_size_per_gpu": 3,
 "gradient_accumulation_steps": 2,)",
     {},
     "train_batch_size 8 is not train_micro_batch_size_per_gpu 3 x "
     "gradient_accumulation_steps 2 x parallel.data 1"},
    {"GridAgainstRanks",
     R"("parallel": {"tensor": 2},)",
     {},
     "deck.json:2: 1 ranks do not divide by parallel.tensor 2 x parallel.pipeline 1"},
    {"UnknownPreset",
     "",
     {"model.preset=gpt2-125m"},
     R"(no model is called "gpt2-125m"; nearest: "gpt2-124m")"},
    {"FrozenStranger",
     "",
     {R"(model.frozen=["layers.1", "layer.0"])"},
     R"(no block is called "layer.0"; expected "embedding", "layers.0" to "layers.3")"},
    {"FrozenBehindTheLast",
     "",
     {R"(model.frozen=["layers.2-4"])"},
     R"(no block is called "layers.2-4")"},
    {"FrozenBackwards",
     "",
     {R"(model.frozen=["layers.2-1"])"},
     R"(no block is called "layers.2-1")"},
    {"FrozenHalfOfATie",
     "",
     {R"(model.frozen=["embedding"])", "model.tied_embeddings=true"},
     "embedding and head, which share a matrix: name both"},
    {"FrozenAll",
     "",
     {R"(model.frozen=["layers.0-3", "head", "embedding"])"},
     "names every block: leave one to be trained"},
    {"MinLossScaleAboveStart",
     R"("fp16": {"enabled": true, "min_loss_scale": 4, "initial_scale_power": 1},)",
     {},
     "fp16.min_loss_scale is above the initial scale"},
    {"ExpectedBand",
     R"("report": {"expect": {"validation_loss": [4]}},)",
     {},
     "report.expect.validation_loss: expected [low, high]; found [4]"},
    {"BandWithoutValidation",
     R"("report": {"expect": {"validation_loss": [4, 5]}},)",
     {"data.validation_fraction=0"},
     "is given but nothing validates"},
    {"TwoValidations",
     "",
     {"data.validation_tokens=v.h5", "data.validation_fraction=0.1"},
     "both say what validates"},
    {"TooLarge",
     "",
     {"model.layers=1000000000"},
     "model.layers: expected an integer >= 1 and <= 10000"},
    {"RecomputeContradiction",
     R"("activation_checkpointing": {"enabled": false}, "pipeline": {"activation_checkpoint_interval": 1},)",
     {},
     "activation_checkpointing.enabled false forbids it"},
};

INSTANTIATE_TEST_SUITE_P(All, Mistake, ::testing::ValuesIn(kCases),
                         [](const auto& tested) { return tested.param.name; });

TEST(Mistakes, SmallDeckItselfIsRight) { EXPECT_EQ(refusal(small_deck()), ""); }

TEST(Mistakes, AllInOneGoInOrderOfLines) {
  const std::string text = refusal(R"({
  "model": {"family": "lama", "layers": 4, "hidden": 64, "heads": 4, "vocabulary": 512},
  "data": {"tokens": 7},
  "train_batch_size": 8,
  "unknown_thing": 1,
  "run": {"max_steps": 0}
})",
                                   {"dump_state=3"});
  EXPECT_TRUE(text.starts_with("5 mistakes in the deck")) << text;
  std::size_t at = 0;
  for (const char* part :
       {"deck.json:2: model.family", "deck.json:3: data.tokens", "deck.json:5: unknown key",
        "deck.json:6: run.max_steps", "--set dump_state=3: dump_state"}) {
    const auto found = text.find(part, at);
    EXPECT_NE(found, std::string::npos) << part << " is not in its place in\n" << text;
    if (found != std::string::npos) at = found;
  }
}

TEST(Mistakes, EmptyDeckNamesAllThatIsMissing) {
  const std::string text = refusal("{}");
  for (const char* part : {"data.tokens is missing", "model.family is missing",
                           "the batch is missing", "the run's length is missing"})
    EXPECT_TRUE(contains(text, part)) << part << "\n" << text;
}

TEST(Mistakes, BadJsonNamesItsLine) {
  const std::string text = refusal("{\n\"a\": 1,,\n}");
  EXPECT_TRUE(text.starts_with("1 mistake in the deck\n  deck.json:2: the deck is not valid JSON"))
      << text;
  EXPECT_TRUE(contains(refusal("[1]"), "a deck is one JSON object"));
}

TEST(Mistakes, CommentsAreNoMistakes) {
  EXPECT_EQ(refusal(small_deck("// one\n/* two\n lines */")), "");
  // and they count as lines
  EXPECT_TRUE(contains(refusal(small_deck("// one\n/* two\n lines */ \"x_y_z\": 1,")),
                       "deck.json:4: unknown key"));
}

TEST(Mistakes, NestingIsBounded) {
  const std::string deep(100000, '[');
  EXPECT_TRUE(contains(refusal(small_deck("\"autotuning\": {\"model_info\": " + deep)),
                       "nested deeper than"));
}

TEST(Mistakes, AFaultyValueIsNotReportedTwice) {
  // heads is wrong by itself: that hidden does not divide by it, or that it is missing, is not
  // said.
  EXPECT_TRUE(refusal(small_deck(), {"model.heads=-3"}).starts_with("1 mistake in the deck"));
}

/// Whatever stands in a deck, it loads or is refused as a bad deck: no crash, no other exit code.
TEST(Mistakes, DamagedDecksAreRefusedOrLoad) {
  const std::string good = small_deck(R"("optimizer": {"type": "Adam", "params": {"lr": 1e-3}},
    "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_num_steps": 5}},
    "parallel": {"tensor": 1, "layers_per_stage": [4]}, "fp16": {"enabled": true},
    "zero_optimization": {"stage": 0, "mics_shard_size": -1, "round_robin_gradients": false,
      "offload_optimizer": {"device": "none", "nvme_path": "/a", "ratio": 0.5}},
    "aio": {"block_size": 4096}, "activation_checkpointing": {"device": "none"},
    "report": {"expect": {"validation_loss": [1, 2.5]}},)");
  const std::string_view pieces[] = {
      "0",         "-1", "1e300", "null", "\"auto\"", "{}", "[]", "true", "[1]", "\"x\"",   "9e18",
      "{\"a\":1}", ",",  "}",     ":",    "\"",       "//", "\n", "\x80", "1.5", "[[\"\"]]"};
  std::mt19937 random(7);
  int loaded = 0;
  int refused = 0;
  for (int i = 0; i < 1000; ++i) {
    std::string text = good;
    // Every other time a whole value is replaced, so that the JSON stays sound.
    std::size_t at = random() % text.size();
    std::size_t length = random() % 4;
    if (i % 2 == 0) {
      at = text.find(": ", at);
      if (at == std::string::npos) continue;
      at += 2;
      length = text.find_first_of(",}\n", at) - at;
    }
    text.replace(at, length, pieces[random() % std::size(pieces)]);
    try {
      load_text(text, {}, 1);
      ++loaded;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kUsage) << error.text() << "\n" << text;
      ++refused;
    }
  }
  EXPECT_GT(loaded, 20);
  EXPECT_GT(refused, 200);
}

TEST(Mistakes, MissingFileIsExitThree) {
  try {
    load(std::filesystem::path("/nowhere/deck.json"), {}, 1);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kFile);
  }
}

}  // namespace
}  // namespace trireme::deck::testing
