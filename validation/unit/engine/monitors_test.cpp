// TensorBoard's event files and csv_monitor's: what is written is read back, a damaged record is
// seen, a resumed run holds each event once, and steps allocate nothing.

#include "lib/engine/monitors.hpp"
#include "io/metrics/log_file.hpp"
#include "lib/engine/trainer.hpp"
#include "validation/harness/allocations.hpp"
#include "validation/harness/token_deck.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace trireme::validation {
namespace {

namespace fs = std::filesystem;

constexpr char kBoth[] =
    R"(, "parallel": {}, "tensorboard": {"enabled": true, "job_name": "job"},
         "csv_monitor": {"enabled": true, "job_name": "job"})";

class MonitorTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { runtime = std::make_unique<Runtime>(1); }
  static void TearDownTestSuite() { runtime.reset(); }

  engine::Outcome train(const deck::Deck& deck, const std::string& folder, bool resumes = false,
                        std::optional<std::int64_t> max_steps = {}) {
    const engine::Setup setup(deck);
    engine::TrainOptions options;
    options.run_folder = decks.path(folder);
    options.resume.asked = resumes;
    options.max_steps = max_steps;
    return engine::Trainer(world, *runtime, setup, options).run();
  }

  static std::unique_ptr<Runtime> runtime;
  comm::World world;
  TokenDecks decks;
};
std::unique_ptr<Runtime> MonitorTest::runtime;

/// Every scalar of all event files of a folder: (tag, step) and its value. A doubled one fails.
std::map<std::pair<std::string, std::int64_t>, float> scalars_of(const fs::path& folder) {
  std::map<std::pair<std::string, std::int64_t>, float> all;
  for (const fs::path& file : io::event_files(folder))
    for (const io::Event& event : io::read_events(file))
      for (const auto& [tag, value] : event.scalars)
        EXPECT_TRUE(all.emplace(std::pair{tag, event.step}, value).second)
            << tag << " of step " << event.step << " stands there twice";
  return all;
}

std::vector<std::string> lines_of(const fs::path& file) {
  const std::string text = test::read_whole(file.string());
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find("\r\n", at);
    lines.push_back(text.substr(at, end - at));
    at = end == std::string::npos ? text.size() : end + 2;
  }
  return lines;
}

// RFC 3720, B.4, and the check value of the catalogue of CRCs.
TEST(Crc32c, KnownValues) {
  EXPECT_EQ(io::crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(io::crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(io::crc32c("123456789"), 0xE3069283U);
}

TEST(EventFile, ReadsBackAndSeesEveryDamagedByte) {
  const test::TestFolder folder;
  fs::path path;
  {
    io::EventFile file(folder / "events", 1);
    for (std::int64_t step = 8; step <= 1 << 20; step *= 8) {
      const std::vector<io::Scalar> scalars = {
          {"Train/Samples/train_loss", 1.0 / static_cast<double>(step)}, {"Train/Samples/lr", NAN}};
      file.write(step, scalars);
    }
    path = file.path();
  }
  const auto events = io::read_events(path);
  ASSERT_EQ(events.size(), 8u);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_TRUE(events[1].start);
  EXPECT_EQ(events[1].step, 1);
  EXPECT_EQ(events.back().step, 1 << 18);
  EXPECT_EQ(events.back().scalars[0].second, std::ldexp(1.F, -18));
  EXPECT_TRUE(std::isnan(events.back().scalars[1].second));
  EXPECT_GT(events.back().wall_time, 1.7e9);
  EXPECT_EQ(events.back().end, static_cast<std::int64_t>(fs::file_size(path)));

  const std::string good = test::read_whole(path.string());
  for (std::size_t at = 0; at < good.size(); ++at) {  // the planted faults
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    test::write_whole(path.string(), bad);
    EXPECT_LT(io::read_events(path).size(), events.size()) << "byte " << at;
  }
  test::write_whole(path.string(), good.substr(0, good.size() - 1));
  EXPECT_EQ(io::read_events(path).size(), events.size() - 1);
}

TEST(EventFile, IsCutAtAStepTornRecordsIncluded) {
  const test::TestFolder folder;
  const io::Scalar one{"Train/Samples/lr", 1};
  const fs::path events = folder / "events";
  {
    io::EventFile file(events, 1);
    for (std::int64_t step = 1; step <= 10; ++step) file.write(step, {&one, 1});
  }
  const fs::path path = io::event_files(events).at(0);
  fs::resize_file(path, fs::file_size(path) - 3);
  io::cut_events(events, 9);
  EXPECT_EQ(scalars_of(events).size(), 9u);
  EXPECT_EQ(io::read_events(path).back().end, static_cast<std::int64_t>(fs::file_size(path)));
  io::cut_events(events, 4);
  EXPECT_EQ(scalars_of(events).size(), 4u);
  io::cut_events(events, 0);
  EXPECT_TRUE(io::event_files(events).empty());
}

TEST(CsvMonitor, IsCutAtAStepTornLinesIncluded) {
  const test::TestFolder folder;
  const io::Scalar one{"Train/Samples/lr", 0.1};
  {
    io::CsvMonitor monitor(folder / "csv");
    for (std::int64_t step = 9; step <= 11; ++step) monitor.write(step, {&one, 1});
  }
  const std::string file = folder / "csv/Train_Samples_lr.csv";
  EXPECT_EQ(test::read_whole(file), "step,lr\r\n9,0.1\r\n10,0.1\r\n11,0.1\r\n");
  fs::resize_file(file, fs::file_size(file) - 1);
  io::cut_csv(folder / "csv", 11);
  EXPECT_EQ(test::read_whole(file), "step,lr\r\n9,0.1\r\n10,0.1\r\n");
  io::cut_csv(folder / "csv", 9);
  {
    io::CsvMonitor again(folder / "csv");
    again.write(10, {&one, 1});
  }
  EXPECT_EQ(test::read_whole(file), "step,lr\r\n9,0.1\r\n10,0.1\r\n");
}

TEST_F(MonitorTest, HoldWhatTheLogHoldsOverSamples) {
  train(decks.deck(1, kBoth, {"run.max_steps=6"}), "run");
  const auto log = io::read_log(fs::path(decks.path("run")) / io::kLogName);
  const auto events = scalars_of(decks.path("run/tensorboard/job"));
  const auto csv = lines_of(decks.path("run/csv_monitor/job/Train_Samples_train_loss.csv"));
  ASSERT_EQ(csv.size(), 7u);
  EXPECT_EQ(csv[0], "step,train_loss");
  for (std::size_t i = 0; i < 6; ++i) {
    const io::StepRecord& step = log.steps.at(i);
    const std::int64_t samples = step.step * 8;
    EXPECT_EQ(events.at({"Train/Samples/train_loss", samples}), static_cast<float>(step.loss));
    EXPECT_EQ(events.at({"Train/Samples/lr", samples}), static_cast<float>(step.lr));
    EXPECT_EQ(csv[i + 1], fmt::format("{},{}", samples, step.loss));
  }
  EXPECT_EQ(events.size(), 6u * 6u + 1u);
  EXPECT_EQ(events.count({"Train/Samples/validation_loss", 48}), 1u);
  EXPECT_EQ(events.count({"Train/Samples/loss_scale", 48}), 0u) << "only where it is scaled";
}

TEST_F(MonitorTest, LossScaleIsAnEventOfFp16) {
  const std::string extra =
      std::string(kBoth) + R"(, "fp16": {"enabled": true, "initial_scale_power": 8})";
  train(decks.deck(1, extra, {"run.max_steps=2"}), "fp16");
  const auto events = scalars_of(decks.path("fp16/tensorboard/job"));
  EXPECT_EQ(events.at({"Train/Samples/loss_scale", 16}), 256);
}

/// Steps and losses only: times are no two runs' same.
std::map<std::pair<std::string, std::int64_t>, float> losses_of(const fs::path& folder) {
  auto all = scalars_of(folder);
  std::erase_if(all,
                [](const auto& one) { return one.first.first.find("loss") == std::string::npos; });
  return all;
}

// Killed behind its checkpoint: steps 5 to 7 were written, and are made again.
TEST_F(MonitorTest, AResumedRunGoesOnWithoutDoublingEvents) {
  const deck::Deck deck = decks.deck(1, kBoth, {"run.max_steps=10", "checkpoint.every_steps=4"});
  train(deck, "straight");
  train(deck, "parts", false, 4);
  {
    engine::Monitors late(deck, decks.path("parts"), 4);
    for (std::int64_t step = 5; step <= 7; ++step) late.write(io::StepRecord{.step = step});
  }
  train(deck, "parts", true, 3);
  train(deck, "parts", true);
  const auto parts = losses_of(decks.path("parts/tensorboard/job"));
  EXPECT_EQ(parts, losses_of(decks.path("straight/tensorboard/job")));
  EXPECT_EQ(parts.size(), 11u);
  const std::string name = "/csv_monitor/job/Train_Samples_train_loss.csv";
  EXPECT_EQ(lines_of(decks.path("parts" + name)), lines_of(decks.path("straight" + name)));
  EXPECT_EQ(io::event_files(decks.path("parts/tensorboard/job")).size(), 3u) << "one a process";
}

TEST_F(MonitorTest, NoRunWritesIntoAnothersFolder) {
  const std::string shared =
      fmt::format(R"(, "parallel": {{}}, "csv_monitor": {{"enabled": true, "output_path": "{}"}})",
                  decks.path("shared"));
  const deck::Deck deck = decks.deck(1, shared, {"run.max_steps=4"});
  train(deck, "first", false, 2);
  const std::string taken = test::error_text([&] { train(deck, "second"); });
  EXPECT_NE(taken.find("expected an empty folder"), std::string::npos) << taken;
  train(deck, "first", true);
  const fs::path folder = fs::path(decks.path("shared")) / "DeepSpeedJobName";
  EXPECT_EQ(lines_of(folder / "Train_Samples_lr.csv").size(), 5u);
  test::write_whole((folder / "run-folder.txt").string(), "/elsewhere");
  const std::string foreign = test::error_text([&] { train(deck, "first", true); });
  EXPECT_NE(foreign.find("/elsewhere"), std::string::npos) << foreign;
}

TEST_F(MonitorTest, WithoutTheSectionsNothingIsWritten) {
  train(decks.deck(1, R"(, "parallel": {})", {"run.max_steps=1"}), "plain");
  EXPECT_FALSE(fs::exists(decks.path("plain/tensorboard")));
  EXPECT_FALSE(fs::exists(decks.path("plain/csv_monitor")));
}

TEST_F(MonitorTest, StepsAllocateNothing) {
  const deck::Deck deck = decks.deck(1, kBoth);
  fs::create_directories(decks.path("steady"));
  engine::Monitors monitors(deck, decks.path("steady"), std::nullopt);
  monitors.write(io::StepRecord{.step = 1});
  const AllocationWatch watch;
  for (std::int64_t step = 2; step < 100; ++step)
    monitors.write(io::StepRecord{.step = step, .loss = 1.0 / 3, .lr = 1e-300});
  const std::int64_t made = watch.count();
  EXPECT_EQ(made, 0) << watch.where();
}

}  // namespace
}  // namespace trireme::validation
