// A report of a real run: what ranks measured is there, and nothing is unknown without a reason.

#include "lib/report/collect.hpp"
#include "lib/report/report.hpp"
#include "validation/harness/token_deck.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace trireme::validation {
namespace {

using Json = nlohmann::ordered_json;

/// Keys of all values that are null, with a blank behind each.
std::string nulls_in(const Json& json, const std::string& place = "") {
  if (json.is_null()) return place + " ";
  std::string found;
  if (json.is_structured())
    for (const auto& [key, value] : json.items()) found += nulls_in(value, place + "/" + key);
  return found;
}

class Collected : public testing::Test {
 protected:
  static void SetUpTestSuite() { runtime = std::make_unique<Runtime>(1); }
  static void TearDownTestSuite() { runtime.reset(); }

  report::RunReport run() const {
    const engine::Setup setup(decks.deck(
        world.size(), R"(, "parallel": {"pipeline": )" + std::to_string(world.size()) + "}"));
    engine::TrainOptions options;
    options.run_folder = decks.path("run");
    engine::Trainer trainer(world, *runtime, setup, options);
    const engine::Outcome outcome = trainer.run();
    return report::collect(world, *runtime, trainer, outcome, "test", "test --command");
  }

  static std::unique_ptr<Runtime> runtime;
  comm::World world;
  TokenDecks decks;
};
std::unique_ptr<Runtime> Collected::runtime;

TEST_F(Collected, NothingIsUnknownButWhatTheDeckDoesNotForetell) {
  const report::RunReport report = run();
  if (world.rank() != 0) return;
  const std::string nulls =
      "/parts/0/queue_seconds /parts/0/memory /parts/0/energy /expect ";  // outside of a batch
                                                                          // system
  EXPECT_EQ(nulls_in(Json::parse(to_json(report))), nulls);
  EXPECT_NE(nulls_in(Json::parse(report::to_json({}))), nulls);
  for (const char* library : {"HDF5", "Kokkos", "MPI", "oneDNN"})
    EXPECT_NE(report.environment.libraries.at(library).find('.'), std::string::npos) << library;
  EXPECT_NE(report.environment.compiler.find("-march="), std::string::npos);
  EXPECT_EQ(report.environment.started.substr(0, 2), "20");
  EXPECT_LE(report.environment.started, report.environment.finished);
}

TEST_F(Collected, MemoryUsedStandsBesideThePlan) {
  const report::RunReport report = run();
  if (world.rank() != 0) return;
  const auto ranks = static_cast<std::size_t>(world.size());
  ASSERT_EQ(report.arena.size(), ranks);
  EXPECT_EQ(report.resident_base.size(), ranks);
  EXPECT_EQ(report.resident_steady.size(), ranks);
  for (const report::Memory& row : report.memory) {
    SCOPED_TRACE(row.purpose);
    ASSERT_TRUE(row.used.has_value());
    const bool state = row.purpose == "weights" || row.purpose == "gradients" ||
                       row.purpose == "moments" || row.purpose == "scalars";
    const bool activations = row.purpose == "activations";
    EXPECT_TRUE(!state || *row.used == row.planned) << *row.used << " of " << row.planned;
    EXPECT_TRUE(!activations || *row.used > 0);
  }
  for (const report::Arena& arena : report.arena) {
    EXPECT_EQ(arena.used, arena.planned);
    EXPECT_EQ(arena.in_memory, arena.planned);
  }
  for (const std::int64_t bytes : report.resident_base) EXPECT_GT(bytes, 0);
}

}  // namespace
}  // namespace trireme::validation
