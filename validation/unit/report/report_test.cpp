// report.json: exact keys, nothing lost on the way there and back, numbers that agree.

#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"
#include "validation/unit/report/sample_report.hpp"

#include "trireme_paths.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace trireme::report {
namespace {

using Json = nlohmann::ordered_json;

std::string keys_of(const Json& object) {
  std::string keys;
  for (const auto& [key, value] : object.items()) keys += (keys.empty() ? "" : " ") + key;
  return keys;
}

// Keys are an interface: a change here is a change of SCHEMA.md and perhaps of kSchemaVersion.
TEST(Report, KeysAreExactlyTheDocumentedOnes) {
  const Json json = Json::parse(to_json(sample::make(2, 2, 2, 40).report));
  EXPECT_EQ(
      keys_of(json),
      "schema_version app version git command title grid world_size nodes device dtype model "
      "tokens steps seconds loss step_seconds tokens_per_second mfu peak memory arena "
      "peak_rss resident resident_base resident_steady comm io regions bubble checkpoints warnings "
      "exit parts timeline environment expect deck");
  EXPECT_EQ(keys_of(json["grid"]),
            "data tensor pipeline virtual_stages micro_batches schedule sequence_parallel");
  EXPECT_EQ(keys_of(json["model"]),
            "family parameters flops_per_token layers width heads context vocabulary batch_tokens");
  EXPECT_EQ(keys_of(json["loss"]), "first last validation");
  EXPECT_EQ(keys_of(json["step_seconds"]), "median p5 p95 min mean count");
  EXPECT_EQ(keys_of(json["peak"]), "flops source");
  EXPECT_EQ(keys_of(json["memory"][0]), "rank tier purpose planned used");
  EXPECT_EQ(keys_of(json["arena"][0]), "rank tier planned used in_memory");
  EXPECT_EQ(keys_of(json["comm"][0]), "op group bytes calls seconds");
  EXPECT_EQ(keys_of(json["io"][0]), "op what bytes calls seconds");
  EXPECT_EQ(keys_of(json["regions"][0]), "name calls min avg max");
  EXPECT_EQ(keys_of(json["bubble"]), "predicted measured");
  EXPECT_EQ(keys_of(json["checkpoints"][0]), "step path bytes seconds");
  EXPECT_EQ(keys_of(json["exit"]), "reason code");
  EXPECT_EQ(keys_of(json["parts"][0]),
            "first_step last_step ranks nodes scheduler job queue hosts restarts queue_seconds "
            "started finished reason code memory energy usage");
  EXPECT_EQ(keys_of(json["timeline"]), "step spans");
  EXPECT_EQ(keys_of(json["timeline"]["spans"][0]), "rank lane kind label start end");
  EXPECT_EQ(keys_of(json["environment"]),
            "host cpu isa threads machines cores compiler libraries started finished");
  EXPECT_EQ(keys_of(json["expect"]), "quantity low high found verdict");
  EXPECT_TRUE(json["peak_rss"].is_array() && json["peak_rss"].size() == 8);
  EXPECT_TRUE(json["warnings"].is_array());
}

// Three processes: one stopped by a signal at step 5, one killed at step 9 behind its checkpoint of
// step 8, and the last one.
TEST(Report, PartsSpanTheWholeRun) {
  io::LogContents log;
  for (const std::int64_t step : {0, 5, 8})
    log.starts.push_back({step, 4, step == 5 ? 1 : 2, "slurm", "7", "low", "node[1-2]",
                          static_cast<std::int64_t>(log.starts.size()), 11, "then"});
  for (std::int64_t step = 1; step <= 12; ++step) log.steps.push_back({step, 64 * step});
  log.stops = {{5, "SIGTERM", 10, "later"}, {12, "reached", 0, "at last"}};
  log.starts_before_stop = {1, 3};
  RunReport report;
  fill_from_log(report, log, 9);
  ASSERT_EQ(report.parts.size(), 3u);
  const std::vector<std::pair<std::int64_t, std::int64_t>> steps{{1, 5}, {6, 8}, {9, 12}};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(report.parts[i].first_step, steps[i].first);
    EXPECT_EQ(report.parts[i].last_step, steps[i].second);
    EXPECT_EQ(report.parts[i].restarts, static_cast<std::int64_t>(i));
  }
  EXPECT_EQ(report.parts[0].reason, "SIGTERM");
  EXPECT_EQ(report.parts[0].code, 10);
  EXPECT_EQ(report.parts[1].nodes, 1);
  EXPECT_EQ(report.parts[1].finished, "");
  EXPECT_FALSE(report.parts[1].code.has_value());
  EXPECT_EQ(report.parts[2].finished, "at last");
  EXPECT_EQ(report.parts[2].code, 0);
}

TEST(Report, EveryKeyStandsInTheSchemaPage) {
  const std::string schema =
      io::read_file(std::string(trireme::kSourceDir) + "/lib/report/SCHEMA.md", "the schema");
  const auto documented = [&](const std::string& key) {
    return schema.find("`" + key + "`") != std::string::npos;
  };
  const Json json = Json::parse(to_json(sample::make(2, 2, 2, 40).report));
  for (const auto& [key, value] : json.items()) {
    EXPECT_TRUE(documented(key)) << key;
    const Json& inner = value.is_array() && !value.empty() ? value[0] : value;
    if (!inner.is_object()) continue;
    for (const auto& [name, ignored] : inner.items()) {
      EXPECT_TRUE(documented(key + (value.is_array() ? "[]." : ".") + name)) << key << "." << name;
    }
  }
  EXPECT_FALSE(documented("no_such_key"));
}

TEST(Report, ComesBackUnchanged) {
  RunReport report = sample::make(2, 2, 2, 40).report;
  report.mfu = 1.0 / 3;
  report.warnings.push_back("quote \" back\\slash \n newline \xC3\xA9");
  const std::string text = to_json(report);
  const RunReport back = from_json(text, "test");
  EXPECT_EQ(to_json(back), text);
  EXPECT_EQ(back.mfu, 1.0 / 3);
  EXPECT_EQ(back.warnings.back(), report.warnings.back());
  EXPECT_EQ(back.environment.libraries, report.environment.libraries);
}

TEST(Report, EmptyReportComesBackWithUnknownNumbers) {
  const std::string text = to_json(RunReport{});
  EXPECT_EQ(Json::parse(text)["mfu"], nullptr);
  EXPECT_EQ(Json::parse(text)["expect"], nullptr);
  const RunReport back = from_json(text, "test");
  EXPECT_TRUE(std::isnan(back.mfu));
  EXPECT_FALSE(back.expect.has_value());
  EXPECT_EQ(to_json(back), text);
}

std::string error_of(const std::string& text) {
  try {
    from_json(text, "r/report.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kFile);
    EXPECT_NE(error.text().find("r/report.json"), std::string::npos) << error.text();
    return error.text();
  }
  return "no error";
}

TEST(Report, BadFilesAreNamedErrors) {
  const std::string good = to_json(sample::make(1, 1, 1, 4).report);
  EXPECT_NE(error_of(good.substr(0, good.size() / 2)).find("torn"), std::string::npos);
  EXPECT_NE(error_of("").find("torn"), std::string::npos);
  EXPECT_NE(error_of("[1]").find("torn"), std::string::npos);
  Json json = Json::parse(good);
  json["schema_version"] = kSchemaVersion + 1;
  EXPECT_NE(error_of(json.dump()).find("schema_version"), std::string::npos);
  json = Json::parse(good);
  json["loss"].erase("last");
  EXPECT_NE(error_of(json.dump()).find("\"last\" in r/report.json.loss"), std::string::npos);
  json = Json::parse(good);
  json["memory"][1]["planned"] = "many";
  EXPECT_NE(error_of(json.dump()).find("memory[1].planned"), std::string::npos);
  json = Json::parse(good);
  json["grid"]["tensor"] = 0;
  EXPECT_NE(error_of(json.dump()).find("tensor 0"), std::string::npos);
  json = Json::parse(good);
  json["schema_version"] = "one";
  EXPECT_NE(error_of(json.dump()).find("schema_version"), std::string::npos);
}

TEST(Report, RegionsSumToTheStepAndADroppedOneShows) {
  RunReport report = sample::make(2, 2, 2, 400).report;
  EXPECT_LE(std::abs(region_gap(report)), kRegionTolerance);
  EXPECT_EQ(summary_text(report).find("miss the step time"), std::string::npos);
  report.regions.erase(report.regions.begin() + 2);  // the planted fault
  EXPECT_GT(std::abs(region_gap(report)), kRegionTolerance);
  EXPECT_NE(summary_text(report).find("miss the step time"), std::string::npos);
}

TEST(Report, StepStatisticsLeaveOutTheWarmUp) {
  io::LogContents log;
  for (int i = 1; i <= 101; ++i) {
    io::StepRecord record;
    record.step = i;
    record.tokens = 10 * i;
    record.loss = 5.0 - 0.01 * i;
    record.seconds = i == 1 ? 1000.0 : i - 1.0;  // 1 .. 100 after the first
    record.tokens_per_second = 1 / record.seconds;
    log.steps.push_back(record);
  }
  RunReport report;
  fill_from_log(report, log);
  EXPECT_EQ(report.step_seconds.count, 100);
  EXPECT_DOUBLE_EQ(report.step_seconds.median, 50.5);
  EXPECT_DOUBLE_EQ(report.step_seconds.p5, 5.95);
  EXPECT_DOUBLE_EQ(report.step_seconds.p95, 95.05);
  EXPECT_DOUBLE_EQ(report.step_seconds.min, 1);
  EXPECT_DOUBLE_EQ(report.step_seconds.mean, 50.5);
  EXPECT_DOUBLE_EQ(report.loss.first, 4.99);
  EXPECT_EQ(report.steps, 101);
  EXPECT_EQ(report.tokens, 1010);
  fill_from_log(report, log, 51);  // a resumed part: 51 warms up again
  EXPECT_EQ(report.step_seconds.count, 50);
  EXPECT_DOUBLE_EQ(report.step_seconds.min, 51);
  EXPECT_DOUBLE_EQ(report.loss.first, 4.99);
}

TEST(Report, VerdictOfTheExpectedBand) {
  EXPECT_EQ(judge("validation_loss", 2, 3, 2.5).verdict, "met");
  EXPECT_EQ(judge("validation_loss", 2, 3, 3).verdict, "met");
  EXPECT_EQ(judge("validation_loss", 2, 3, 3.1).verdict, "missed");
  EXPECT_EQ(judge("validation_loss", 2, 3, 1.9).verdict, "missed");
  EXPECT_EQ(judge("validation_loss", 2, 3, kUnknown).verdict, "not reached");
}

// 1F1B's own share of idle compute is (stages - 1) / (micro-batches + stages - 1) when transfers
// cost nothing (Narayanan et al. 2021, section 2.2); the sample's transfers add a little.
TEST(Report, MeasuredBubbleFollowsTheSchedule) {
  EXPECT_NEAR(measured_bubble(sample::make(2, 1, 1, 4, 8).report.timeline), 0, 1e-9);
  for (const auto& [stages, micro_batches] : {std::pair{2, 4}, {4, 8}, {4, 16}}) {
    const Timeline timeline = sample::make(1, 1, stages, 4, micro_batches).report.timeline;
    const double schedule = (stages - 1.0) / (micro_batches + stages - 1.0);
    EXPECT_GE(measured_bubble(timeline), schedule - 1e-9);
    EXPECT_LE(measured_bubble(timeline), schedule + 0.08);
  }
  Timeline late = sample::make(1, 1, 2, 4, 4).report.timeline;
  const double before = measured_bubble(late);
  for (Span& span : late.spans) span.end += span.kind == "backward" && span.rank == 0 ? -0.05 : 0;
  EXPECT_GT(measured_bubble(late), before + 0.02);  // planted: idle time that no wait explains
  EXPECT_TRUE(std::isnan(measured_bubble({})));
}

TEST(Report, LargestRankTakesMeasurementsBeforePlans) {
  RunReport report;
  EXPECT_TRUE(std::isnan(largest_rank(report).used));
  report.memory = {{0, "host", "weights", 100, std::nullopt},
                   {1, "host", "weights", 200, 150},
                   {1, "nvme", "moments", 900, 900}};
  EXPECT_EQ(largest_rank(report).planned, 200);
  EXPECT_EQ(largest_rank(report).used, 150);
  report.resident = {400, 300};
  EXPECT_EQ(largest_rank(report).planned, 100);
  EXPECT_EQ(largest_rank(report).used, 400);
}

TEST(Report, CheckpointsAreThoseOfThisPart) {
  io::LogContents log;
  log.checkpoints = {{4, "checkpoints/4", 10, 1, ""}, {8, "checkpoints/8", 20, 1, ""}};
  RunReport report;
  fill_from_log(report, log, 5);
  ASSERT_EQ(report.checkpoints.size(), 1u);
  EXPECT_EQ(report.checkpoints[0].step, 8);
  EXPECT_EQ(report.checkpoints[0].bytes, 20);
}

TEST(Report, TimelineRanksAreFewAndHoldBothEnds) {
  EXPECT_EQ(timeline_ranks(1), std::vector<int>{0});
  EXPECT_EQ(timeline_ranks(8).size(), 8u);
  const auto ranks = timeline_ranks(10000);
  EXPECT_EQ(ranks.size(), 16u);
  EXPECT_EQ(ranks.front(), 0);
  EXPECT_EQ(ranks.back(), 9999);
  EXPECT_TRUE(std::is_sorted(ranks.begin(), ranks.end()));
}

TEST(Report, RunFolderIsReadBack) {
  const auto folder = sample::fresh_folder("run");
  const auto run = sample::make(2, 2, 2, 40);
  sample::write_run(folder, run);
  EXPECT_EQ(to_json(read_report(folder)), to_json(run.report));
  EXPECT_TRUE(std::filesystem::exists(folder / kPageName));
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  }
  EXPECT_THROW(read_report(folder / "nothing"), Error);
  EXPECT_THROW(write_report(folder / "nothing", run.report), Error);
}

}  // namespace
}  // namespace trireme::report
