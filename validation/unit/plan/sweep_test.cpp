// From a sweep deck to points: how many, which, in which order, the same again; what is left out,
// refused or told. Planted faults stand beside their laws.

#include "lib/plan/sweep/sweep_folder.hpp"
#include "validation/unit/plan/refusal.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <set>

namespace trireme::validation {
namespace {

namespace fs = std::filesystem;
using plan::SweepDeck;
using plan::SweepPoints;

constexpr char kBase[] = R"({
  "model": {"family": "gpt", "vocabulary": 64, "context": 8, "layers": 2, "hidden": 32, "heads": 4},
  "data": {"tokens": "some/tokens.h5"}, "train_batch_size": 24,
  "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}, "run": {"max_steps": 2}
})";
const deck::Source kBaseSource{kBase, "/nowhere/deck.json"};

SweepDeck read(const std::string& members) {
  return plan::read_sweep({"{\"deck\": \"deck.json\", " + members + "}", "/nowhere/sweep.json"});
}
SweepPoints expand(const SweepDeck& sweep, const std::vector<std::string>& overrides = {}) {
  return plan::expand(sweep, kBaseSource, overrides);
}
std::vector<double> numbers(const SweepDeck& sweep, std::size_t group = 0) {
  std::vector<double> found;
  for (const deck::Value& value : sweep.groups[group].axes.front().values)
    found.push_back(value.integer() ? static_cast<double>(*value.integer())
                                    : std::get<double>(value.data));
  return found;
}
std::vector<std::string> names(const SweepPoints& points) {
  std::vector<std::string> found;
  for (const plan::SweepPoint& point : points.points) found.push_back(point.name);
  return found;
}

TEST(Sweep, PointsAreAllCombinationsTheLastAxisFastest) {
  const SweepPoints points = expand(read(R"("axes": {"run.seed": [1, 2, 3], "model.layers": [2, 4]},
      "zip": [{"model.hidden": [32, 64], "model.heads": [4, 8]}])"));
  ASSERT_EQ(points.points.size(), 3u * 2 * 2);
  EXPECT_EQ(points.points[0].settings,
            (std::vector<std::string>{"run.seed=1", "model.layers=2", "model.hidden=32",
                                      "model.heads=4"}));
  EXPECT_EQ(points.points[1].settings[2], "model.hidden=64");
  EXPECT_EQ(points.points[1].settings[3], "model.heads=8");  // together, never 64 with 4
  EXPECT_EQ(points.points[2].settings[1], "model.layers=4");
  EXPECT_EQ(points.points[11].settings[0], "run.seed=3");
  const std::vector<std::string> all = names(points);
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
  for (const std::string& name : all)
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789._+-"),
              std::string::npos)
        << name;
}

TEST(Sweep, RangesHoldTheirEnds) {
  EXPECT_EQ(numbers(read(R"("axes": {"model.layers": {"range": [2, 8], "step": 2}})")),
            (std::vector<double>{2, 4, 6, 8}));
  EXPECT_EQ(numbers(read(R"("axes": {"model.layers": {"range": [2, 7], "step": 2}})")),
            (std::vector<double>{2, 4, 6}));
  EXPECT_EQ(numbers(read(R"("axes": {"gradient_clipping": {"range": [0.5, 2], "count": 4}})")),
            (std::vector<double>{0.5, 1, 1.5, 2}));
  // 0.1 steps do not drift away from 0.1, 0.2, 0.3, ...
  EXPECT_EQ(numbers(read(R"("axes": {"gradient_clipping": {"range": [0.1, 0.7], "step": 0.1}})")),
            (std::vector<double>{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7}));
  const auto rates =
      numbers(read(R"("axes": {"optimizer.params.lr": {"log_range": [3e-4, 0.1], "count": 7}})"));
  ASSERT_EQ(rates.size(), 7u);
  EXPECT_EQ(rates.front(), 3e-4);
  EXPECT_EQ(rates.back(), 0.1);
  for (std::size_t i = 2; i < rates.size(); ++i)
    EXPECT_NEAR(rates[i] / rates[i - 1], rates[1] / rates[0], 1e-4);
  EXPECT_EQ(numbers(read(R"("axes": {"model.hidden": {"log_range": [16, 256], "count": 5}})")),
            (std::vector<double>{16, 32, 64, 128, 256}));
}

TEST(Sweep, DrawsAreAFunctionOfSeedKeyAndIndex) {
  const auto draw = [](int count, int seed, const std::string& more = "") {
    return read(fmt::format(
        R"("random": {{"count": {}, "seed": {}, "axes": {{
          "optimizer.params.lr": {{"log_range": [1e-5, 1e-1]}}{}}}}})",
        count, seed, more));
  };
  const auto first = numbers(draw(40, 7));
  EXPECT_EQ(first, numbers(draw(40, 7)));
  EXPECT_NE(first, numbers(draw(40, 8)));  // the planted fault: another seed
  const auto longer = numbers(draw(60, 7));
  EXPECT_EQ(first, std::vector<double>(longer.begin(), longer.begin() + 40));
  EXPECT_EQ(first, numbers(draw(40, 7, R"(, "run.seed": {"range": [1, 9]})")));
  // By logarithm about half of them lie below the middle, and all inside.
  const auto below = std::count_if(longer.begin(), longer.end(), [](double x) { return x < 1e-3; });
  EXPECT_GT(below, 18);
  EXPECT_LT(below, 42);
  for (const double rate : longer) EXPECT_TRUE(rate >= 1e-5 && rate <= 1e-1) << rate;
}

TEST(Sweep, DrawsOfIntegersAndListsReachAllAndNoMore) {
  const SweepDeck sweep = read(R"("random": {"count": 200, "seed": 1, "axes": {
      "run.seed": {"range": [3, 6]}, "model.layers": [2, 4, 8]}})");
  for (const plan::SweepAxis& axis : sweep.groups[0].axes) {
    std::set<std::int64_t> seen;
    for (const deck::Value& value : axis.values) seen.insert(*value.integer());
    EXPECT_EQ(seen, axis.key == "run.seed" ? (std::set<std::int64_t>{3, 4, 5, 6})
                                           : (std::set<std::int64_t>{2, 4, 8}));
  }
  const SweepPoints points = expand(sweep);
  EXPECT_EQ(points.points.size(), 12u);  // each combination once
  EXPECT_EQ(points.twice, 188u);
}

TEST(Sweep, ConstraintsLeaveOut) {
  const std::string axes =
      R"("axes": {"model.hidden": [24, 32, 48], "model.heads": [4, 8, 16]}, "constraints": )";
  const SweepPoints points =
      expand(read(axes + R"(["model.hidden % model.heads == 0", "model.hidden <= 32"])"));
  EXPECT_EQ(points.points.size(), 5u);  // 24: 4, 8; 32: 4, 8, 16
  EXPECT_EQ(points.left_out, 4u);
  // They see keys that are no axes: given ones and defaults.
  EXPECT_EQ(expand(read(axes + R"(["model.layers == 2 and not model.heads > 8"])")).points.size(),
            6u);
  EXPECT_EQ(
      expand(read(axes + R"(["optimizer.type == 'AdamW' or model.heads == 1"])")).points.size(),
      9u);
  EXPECT_TRUE(contains(refusal([&] { expand(read(axes + R"(["model.heads > 99"])")); }),
                       "no point is left"));
  EXPECT_TRUE(contains(refusal([&] { expand(read(axes + R"(["optimizer.type > 3"])")); }),
                       "can't be evaluated"));
}

TEST(Sweep, ConditionsFollowArithmetic) {
  const auto holds = [](const std::string& text) {
    return plan::Condition(text).holds([](const std::string& key) {
      return deck::Value{key == "seven" ? decltype(deck::Value::data){std::int64_t{7}}
                                        : decltype(deck::Value::data){std::string("text")}};
    });
  };
  for (const char* text :
       {"1 + 2 * 3 == 7", "(1 + 2) * 3 == 9", "seven % 4 == 3", "-seven < 0", "seven / 2 == 3.5",
        "10 - 4 - 3 == 3", "seven >= 7 and seven <= 7", "false or seven != 8", "not seven == 8",
        "!(seven > 7) && true", "word == \"text\"", "word != 'other'", "1 < 2 or 1 / 0 > 3"})
    EXPECT_TRUE(holds(text)) << text;
  for (const char* text : {"1 + 2 * 3 == 9", "seven > 7", "not true", "seven == 7 and false"})
    EXPECT_FALSE(holds(text)) << text;
  for (const char* text : {"", "1 +", "(1 < 2", "1 < 2 < 3", "seven", "seven + 1", "word < 1",
                           "word == 1", "1 / 0 > 3", "1 2", "'open", "seven and true", "? < 1"})
    EXPECT_NE(refusal([&] { holds(text); }), "") << text;
  EXPECT_NE(refusal([&] { holds(std::string(5000, '(') + "1"); }), "");  // no stack overflow
}

TEST(Sweep, NamesFollowTheDeckAndNothingElse) {
  const std::string axes = R"("axes": {"run.seed": [1, 2], "model.layers": [2, 4]})";
  const std::vector<std::string> all = names(expand(read(axes)));
  EXPECT_EQ(all, names(expand(read(axes))));
  // A longer axis keeps the names of what was there; another base deck changes all of them.
  const auto more =
      names(expand(read(R"("axes": {"run.seed": [1, 9, 2], "model.layers": [2, 4]})")));
  EXPECT_EQ(more.size(), 6u);
  for (const std::string& name : all)
    EXPECT_NE(std::find(more.begin(), more.end(), name), more.end()) << name;
  const auto other = names(expand(read(axes), {"run.max_steps=3"}));
  for (const std::string& name : all)
    EXPECT_EQ(std::find(other.begin(), other.end(), name), other.end()) << name;
  // The folder of the base deck does not count, what its relative paths say does.
  EXPECT_EQ(all, names(plan::expand(read(axes), {kBase, "/elsewhere/deck.json"}, {})));
  EXPECT_NE(all, names(expand(read(axes), {"data.tokens=other.h5"})));
}

TEST(Sweep, APointsDeckStandsAloneAndLoadsToTheSameRun) {
  const SweepPoints points = expand(read(R"("set": {"gradient_clipping": 0.5},
      "axes": {"model.layers": [4]})"));
  const plan::SweepPoint& point = points.points.front();
  const deck::Deck direct = deck::load(kBaseSource, point.settings, 4);
  const deck::Deck alone = deck::load({point.deck, "/another/folder/deck.json"}, {}, 4);
  EXPECT_EQ(alone.resolved_json, direct.resolved_json);
  EXPECT_EQ(alone.fingerprint, direct.fingerprint);
  EXPECT_EQ(alone.model.layers, 4);
  EXPECT_EQ(alone.data.sources.front().path, "/nowhere/some/tokens.h5");
}

TEST(Sweep, PointsThatDoNotCheckAreRefusedOrListed) {
  const std::string axes = R"("axes": {"model.heads": [4, 5, 8]})";
  const auto check = [](const SweepDeck& sweep) {
    SweepPoints points = expand(sweep);
    plan::check_points(points, sweep, [](const std::vector<std::string>& settings) {
      deck::load(kBaseSource, settings, 1);
    });
    return points;
  };
  const std::string no = refusal([&] { check(read(axes)); });
  EXPECT_TRUE(contains(no, "1 of 3 points do not check") && contains(no, "heads5-")) << no;
  const SweepPoints listed = check(read(axes + R"(, "bad_points": "list")"));
  EXPECT_EQ(listed.points[0].refused, "");
  EXPECT_NE(listed.points[1].refused, "");
  EXPECT_EQ(listed.points[2].refused, "");
  const std::string all = R"("axes": {"model.heads": [5, 7]}, "bad_points": "list")";
  EXPECT_TRUE(contains(refusal([&] { check(read(all)); }), "2 of 2 points"));
}

class SweepFolderTest : public testing::Test {
 protected:
  ~SweepFolderTest() override { fs::remove_all(folder_); }
  plan::SweepChange write(const std::string& members) {
    const SweepDeck sweep = read(members);
    points_ = expand(sweep);
    return plan::write_folder(folder_, sweep, points_);
  }
  void end(const std::string& name, int code, const std::string& reason) {
    std::ofstream(folder_ / "points" / name / "exit.json")
        << fmt::format("{{\"code\": {}, \"reason\": \"{}\"}}", code, reason);
  }
  fs::path folder_ = fs::path(testing::TempDir()) / fmt::format("sweep-{}", getpid());
  SweepPoints points_;
};

TEST_F(SweepFolderTest, FinishedPointsAreNotToDoAndChangesAreTold) {
  plan::SweepChange change = write(R"("axes": {"run.seed": [1, 2, 3, 4]})");
  EXPECT_TRUE(change.fresh);
  EXPECT_EQ(change.todo, names(points_));
  const std::vector<std::string> all = names(points_);
  end(all[0], 0, "done");
  end(all[1], 4, "the loss is not a number");
  end(all[2], 10, "SIGTERM");
  change = write(R"("axes": {"run.seed": [1, 2, 3, 4]})");
  EXPECT_FALSE(change.fresh);
  EXPECT_EQ(change.todo, (std::vector<std::string>{all[1], all[2], all[3]}));
  EXPECT_TRUE(change.added.empty() && change.removed.empty());
  EXPECT_EQ(plan::status_of(folder_, points_.points[1]).reason, "the loss is not a number");
  EXPECT_EQ(plan::status_of(folder_, points_.points[2]).state, plan::PointState::interrupted);
  // What a job script noted counts where the program left nothing.
  fs::create_directories(folder_ / "points" / all[3] / "job");
  std::ofstream(folder_ / "points" / all[3] / "job/end") << "137\nkilled\n";
  EXPECT_EQ(plan::status_of(folder_, points_.points[3]).code, 137);
  EXPECT_EQ(plan::status_of(folder_, points_.points[3]).reason, "killed");

  change = write(R"("axes": {"run.seed": [1, 3, 5]})");
  EXPECT_EQ(change.added, std::vector<std::string>{points_.points[2].name});
  EXPECT_EQ(std::set<std::string>(change.removed.begin(), change.removed.end()),
            (std::set<std::string>{all[1], all[3]}));
  const std::string told = plan::describe(change, points_);
  EXPECT_TRUE(contains(told, "the sweep has changed: 1 points are new")) << told;
  EXPECT_TRUE(contains(told, "no longer in it")) << told;
}

TEST_F(SweepFolderTest, ReadsBackWhatItWroteAndNamesDamage) {
  write(R"("axes": {"run.seed": [1, 2], "optimizer.params.lr": [1e-3, 0.1]},
      "objective": {"maximize": "tokens_per_second"})");
  const plan::SweepRecord record = plan::read_record(folder_);
  EXPECT_EQ(record.keys, (std::vector<std::string>{"run.seed", "optimizer.params.lr"}));
  EXPECT_EQ(record.objective.field, "tokens_per_second");
  EXPECT_FALSE(record.objective.minimize);
  ASSERT_EQ(record.points.size(), points_.points.size());
  for (std::size_t i = 0; i < record.points.size(); ++i) {
    EXPECT_EQ(record.points[i].name, points_.points[i].name);
    EXPECT_TRUE(record.points[i].values == points_.points[i].values);
  }
  for (const char* damage : {"", "{}", "[1]", R"({"schema": 1, "sweep": 3})", R"({"schema": 9})"}) {
    std::ofstream(folder_ / plan::kSweepName) << damage;
    try {
      plan::read_record(folder_);
      ADD_FAILURE() << "no error for " << damage;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kFile) << error.text();
    }
  }
}

}  // namespace
}  // namespace trireme::validation
