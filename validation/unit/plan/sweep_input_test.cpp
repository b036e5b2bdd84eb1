// Sweep decks with mistakes: every one is named with its line, and with the nearest key where one
// is close.

#include "lib/plan/sweep/points.hpp"
#include "validation/unit/plan/refusal.hpp"

#include "trireme_paths.hpp"

#include <gtest/gtest.h>

namespace trireme::validation {
namespace {

std::string mistakes(const std::string& text) {
  return refusal([&] { plan::read_sweep({text, "/nowhere/sweep.json"}); });
}

struct Bad {
  const char* members;  ///< on line 2 of the deck
  const char* said;
};

constexpr Bad kBad[] = {
    {R"("axis": {})", R"(sweep.json:2: unknown key "axis" in a sweep deck; nearest known: "axes")"},
    {R"("axes": {"optimizer.params.lrr": [1]})",
     R"(unknown key "optimizer.params.lrr" of a deck; nearest known: "optimizer.params.lr")"},
    {R"("axes": {"optimizer": [1]})", "it is a section, name one of its keys"},
    {R"("axes": {"run.seed": 3})", "run.seed: expected a list or a range; found 3"},
    {R"("axes": {"run.seed": []})", "run.seed: an empty list"},
    {R"("axes": {"run.seed": [1, 1]})", "run.seed: 1 is there twice"},
    {R"("axes": {"run.seed": ["x"]})", "run.seed: expected"},
    {R"("axes": {"optimizer.params.lr": [-1]})", "optimizer.params.lr: expected"},
    {R"("axes": {"run.seed": {"rang": [1, 2], "count": 2}})",
     R"(unknown key "rang" in a range; nearest known: "range")"},
    {R"("axes": {"run.seed": {"count": 2}})", R"(expected "range" or "log_range", one of both)"},
    {R"("axes": {"run.seed": {"range": [1, 2], "log_range": [1, 2], "count": 2}})", "one of both"},
    {R"("axes": {"run.seed": {"range": [2, 1], "step": 1}})",
     "the first below the second; found [2, 1]"},
    {R"("axes": {"run.seed": {"range": [1], "step": 1}})", "expected [low, high]"},
    {R"("axes": {"run.seed": {"range": [1, 4]}})", R"(expected "step" or "count" with the range)"},
    {R"("axes": {"run.seed": {"range": [1, 4], "step": 0}})", "step: expected a number above 0"},
    {R"("axes": {"run.seed": {"range": [1, 4], "step": 0.5}})",
     "step: run.seed takes integers; found 0.5"},
    {R"("axes": {"run.seed": {"range": [1, 4], "count": 1}})", "count: expected an integer from 2"},
    {R"("axes": {"run.seed": {"range": [1, 4], "count": 9}})", "is there twice"},
    {R"("axes": {"run.seed": {"log_range": [0, 4], "count": 3}})", "a log_range starts above 0"},
    {R"("axes": {"run.seed": {"log_range": [1, 4], "step": 1}})",
     R"(a log_range takes "count", no "step")"},
    {R"("axes": {"run.seed": [1]}, "zip": [{"run.seed": [2]}])",
     "run.seed is given twice in the sweep"},
    {R"("axes": {"run.seed": [1]}, "set": {"run.seed": 2})",
     "run.seed is given twice in the sweep"},
    {R"("set": {"run.seeed": 2}, "axes": {"model.layers": [1]})", R"(nearest known: "run.seed")"},
    {R"("set": {"run.seed": "x"}, "axes": {"model.layers": [1]})", "run.seed: expected"},
    {R"("zip": {"run.seed": [2]})", "zip: expected a list of objects of axes"},
    {R"("zip": [{"run.seed": [1, 2], "model.layers": [1, 2, 3]}])",
     "run.seed has 2 values, model.layers has 3"},
    {R"("random": {"axes": {"run.seed": [1]}})", "random.count is missing"},
    {R"("random": {"count": 3, "axes": {"run.seed": [1]}})", "random.seed is missing"},
    {R"("random": {"count": 3, "seed": 1})", "random.axes is missing"},
    {R"("random": {"count": 3, "seeds": 1, "axes": {"run.seed": [1]}})",
     R"(nearest known: "seed")"},
    {R"("random": {"count": 0, "seed": 1, "axes": {"run.seed": [1]}})",
     "expected an integer from 1"},
    {R"("random": {"count": 3, "seed": 1, "axes": {"run.seed": {"range": [1, 4], "step": 1}}})",
     R"("step" has no meaning where values are drawn)"},
    {R"("axes": {"run.seed": [1]}, "constraints": ["run.sed > 1"])",
     R"(nearest known: "run.seed")"},
    {R"("axes": {"run.seed": [1]}, "constraints": ["run.seed >"])", "expected a key, a number"},
    {R"("axes": {"run.seed": [1]}, "constraints": [3])", "constraints: expected a condition"},
    {R"("axes": {"run.seed": [1]}, "objective": {"least": "loss.last"})", "objective: expected"},
    {R"("axes": {"run.seed": [1]}, "objective": {"minimize": "los.last"})",
     R"(nearest known: "loss.last")"},
    {R"("axes": {"run.seed": [1]}, "bad_points": "skip")",
     R"(bad_points: expected "refuse" or "list")"},
    {R"("axes": {"run.seed": [1]}, "at_once": 0)", "at_once: expected an integer of at least 1"},
    {R"("at_once": 1)", "nothing is varied"},
    {R"("axes": {"run.seed": {"range": [1, 9999], "step": 1}, "model.layers": [1, 2]})",
     "more than 10000 points"},
    {R"("axes": {"run.seed": [1], "run.seed": [2]})", "duplicate key"},
};

TEST(SweepInput, NamesEveryMistake) {
  for (const Bad& bad : kBad) {
    const std::string text =
        mistakes(std::string("{\"deck\": \"deck.json\",\n") + bad.members + "}");
    EXPECT_TRUE(contains(text, bad.said)) << bad.members << "\n" << text;
  }
  EXPECT_TRUE(contains(mistakes(R"({"axes": {"run.seed": [1]}})"), "deck is missing"));
  EXPECT_TRUE(contains(mistakes("{"), "not valid JSON"));
  EXPECT_TRUE(contains(mistakes("[1]"), "one JSON object"));
  // Several at once, each with its line.
  const std::string both =
      mistakes("{\"deck\": 3,\n\"axes\": {\"run.seeed\": [1]},\n\"at_once\": \"all\"}");
  EXPECT_TRUE(contains(both, "3 mistakes in the deck")) << both;
  EXPECT_TRUE(contains(both, "sweep.json:1: deck: expected")) << both;
  EXPECT_TRUE(contains(both, "sweep.json:2: unknown key")) << both;
  EXPECT_TRUE(contains(both, "sweep.json:3: at_once")) << both;
  // The twin without mistakes.
  EXPECT_EQ(mistakes(R"({"deck": "deck.json", "axes": {"run.seed": [1]}})"), "");
}

TEST(SweepInput, AnOverrideMayNotNameAnAxis) {
  const plan::SweepDeck sweep = plan::read_sweep(
      {R"({"deck": "deck.json", "axes": {"run.seed": [1, 2]}})", "/nowhere/sweep.json"});
  const std::string no = refusal([&] {
    plan::expand(sweep, {"{}", "/nowhere/deck.json"}, {"run.seed=3"});
  });
  EXPECT_TRUE(contains(no, "run.seed is an axis of the sweep")) << no;
}

TEST(SweepInput, TellsSweepsFromDecks) {
  const auto is_sweep = [](const char* text) { return plan::is_sweep({text, "/nowhere/x.json"}); };
  EXPECT_TRUE(is_sweep(R"({"deck": "a.json", "axes": {}})"));
  EXPECT_TRUE(is_sweep(R"({"deck": "a.json", "random": 3})"));  // its mistakes are read_sweep's
  EXPECT_FALSE(is_sweep(R"({"model": {"layers": 2}})"));
  EXPECT_FALSE(is_sweep("no json"));
}

TEST(SweepInput, ShippedSweepsAreSound) {
  int count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(kSourceDir) / "inputs/sweeps")) {
    const deck::Source source = deck::read_source(entry.path());
    ASSERT_TRUE(plan::is_sweep(source)) << entry.path();
    const plan::SweepDeck sweep = plan::read_sweep(source);
    const deck::Source base = deck::read_source(sweep.base);
    plan::SweepPoints points = plan::expand(sweep, base, {});
    plan::check_points(points, sweep, [&](const std::vector<std::string>& settings) {
      deck::load(base, settings, 1);
    });
    EXPECT_GE(points.points.size(), 2u) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 1);
}

}  // namespace
}  // namespace trireme::validation
