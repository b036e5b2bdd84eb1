// The trainer on one rank: how runs end.

#include "lib/engine/trainer.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/token_deck.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace trireme::validation {
namespace {

class TrainerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { runtime = std::make_unique<Runtime>(1); }
  static void TearDownTestSuite() { runtime.reset(); }

  std::string exit_record(const std::string& folder) const {
    return test::read_whole(decks.path(folder) + "/exit.json");
  }
  engine::TrainOptions options(const std::string& folder) const {
    engine::TrainOptions options;
    options.run_folder = decks.path(folder);
    return options;
  }

  static std::unique_ptr<Runtime> runtime;
  comm::World world;
  TokenDecks decks;
};
std::unique_ptr<Runtime> TrainerTest::runtime;

TEST_F(TrainerTest, LearnsAndEndsAtItsLength) {
  const engine::Setup setup(decks.deck(1, R"(, "parallel": {})", {"run.max_steps=60"}));
  engine::Trainer trainer(world, *runtime, setup, options("learns"));
  const engine::Outcome outcome = trainer.run();
  EXPECT_EQ(outcome.code, Exit::kOk);
  EXPECT_EQ(outcome.last_step, 60);
  EXPECT_EQ(outcome.tokens, 60 * 8 * 8);
  const auto log = io::read_log(options("learns").run_folder / io::kLogName);
  ASSERT_EQ(log.steps.size(), 60u);
  EXPECT_LT(log.steps.back().loss, log.steps.front().loss - 0.2);
  EXPECT_NE(exit_record("learns").find("\"code\": 0"), std::string::npos);
}

TEST_F(TrainerTest, TheArenaShowsInResidentMemory) {
  const engine::Setup setup(decks.deck(1, R"(, "parallel": {})",
                                       {"run.max_steps=3", "model.hidden=512", "model.layers=4",
                                        "model.ffn_hidden=1024", "checkpoint.at_end=false"}));
  engine::Trainer trainer(world, *runtime, setup, options("resident"));
  const engine::ResidentBytes resident = trainer.run().resident;
  const auto arena = static_cast<double>(trainer.store().arena().bytes());
  const auto grown = static_cast<double>(resident.steady - resident.base);
  ASSERT_GT(arena, 1e8);  // far above what else a process takes
  EXPECT_GT(grown / arena, 0.9);
  EXPECT_LT(kShadowMemory ? 1 : grown / arena, 1.1);
  EXPECT_EQ(trainer.high_water().end, trainer.store().arena().bytes());
}

TEST_F(TrainerTest, NonfiniteWeightsEndTheRunAndNameTheBlock) {
  const engine::Setup setup(decks.deck(1, R"(, "parallel": {})"));
  engine::Trainer trainer(world, *runtime, setup, options("poisoned"));
  for (state::UnitState& unit : trainer.store().units())
    if (unit.unit->name == "layers.1") poison(trainer.store(), unit);
  try {
    trainer.run();
    FAIL() << "a run with NaN weights went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kNumbers);
    EXPECT_NE(error.text().find("layers.1"), std::string::npos) << error.text();
  }
  EXPECT_NE(exit_record("poisoned").find("\"code\": 4"), std::string::npos);
}

TEST_F(TrainerTest, AFolderHoldsOneRun) {
  const engine::Setup setup(decks.deck(1, R"(, "parallel": {})", {"run.max_steps=1"}));
  engine::Trainer(world, *runtime, setup, options("once")).run();
  const std::string text =
      test::error_text([&] { engine::Trainer(world, *runtime, setup, options("once")).run(); });
  EXPECT_NE(text.find("--resume"), std::string::npos) << text;
}

TEST_F(TrainerTest, AnotherModelDoesNotResume) {
  const engine::Setup setup(decks.deck(1, R"(, "parallel": {})", {"run.max_steps=1"}));
  engine::Trainer(world, *runtime, setup, options("changed")).run();
  const engine::Setup other(
      decks.deck(1, R"(, "parallel": {})", {"run.max_steps=1", "optimizer.params.lr=0.5"}));
  engine::TrainOptions again = options("changed");
  again.resume.asked = true;
  const std::string text =
      test::error_text([&] { engine::Trainer(world, *runtime, other, again).run(); });
  EXPECT_NE(text.find("optimizer.params.lr"), std::string::npos) << text;
}

}  // namespace
}  // namespace trireme::validation
