// A batch job's end: what is kept for the last step and its checkpoint, and that the run is saved
// in time; and what the log says of the job.

#include "lib/engine/batch_job.hpp"
#include "lib/engine/trainer.hpp"
#include "validation/harness/token_deck.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

namespace trireme::validation {
namespace {

using engine::Pace;
using engine::StopLimits;
using engine::StopWatch;

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

StopWatch watch_until(double end) {
  StopLimits limits;
  limits.end_time = end;
  return {limits, std::chrono::steady_clock::now()};
}

TEST(EndTimeTest, KeepsTwoStepsAndTwoCheckpointsAsSlowAsTheSlowest) {
  Pace pace;
  EXPECT_EQ(pace.reserve(), 0);
  for (const double seconds : {1.0, 3.0, 2.0}) pace.stepped(seconds);
  EXPECT_EQ(pace.reserve(), 6);
  for (const double seconds : {10.0, 5.0}) pace.saved(seconds);
  EXPECT_EQ(pace.reserve(), 26);
}

TEST(EndTimeTest, StopsWhenNoMoreThanThatIsLeft) {
  StopWatch far = watch_until(now() + 1000);
  EXPECT_TRUE(far.wants_trial_save());
  EXPECT_EQ(far.reason(true), "");
  far.pace().saved(100);
  EXPECT_FALSE(far.wants_trial_save());
  EXPECT_EQ(far.reason(true), "");
  far.pace().stepped(450);  // 2 x 450 + 2 x 100 > 1000
  EXPECT_NE(far.reason(true).find("before the end time"), std::string::npos);
  EXPECT_EQ(far.reason(false), "") << "one rank's clock counts";
  EXPECT_NE(watch_until(now() - 1).reason(true), "");
  EXPECT_FALSE(StopWatch({}, std::chrono::steady_clock::now()).wants_trial_save());
}

class EndTimeRunTest : public testing::Test {
 protected:
  engine::Outcome run(const std::string& folder, double end_in, bool resume) {
    const engine::Setup setup(
        decks.deck(1, R"(, "parallel": {})", {"run.max_steps=1000000", "checkpoint.keep=0"}));
    engine::TrainOptions options;
    options.run_folder = decks.path(folder);
    options.end_time = now() + end_in;
    options.resume.asked = resume;
    return engine::Trainer(world, runtime, setup, options).run();
  }
  Runtime runtime{1};
  comm::World world;
  TokenDecks decks;
};

TEST_F(EndTimeRunTest, SavesBeforeTheEndAndKnowsHowLongThatTakes) {
  const double begin = now();
  const engine::Outcome outcome = run("a", 2, false);
  EXPECT_LT(now() - begin, 3) << "a busy machine may take longer than it ever has";
  EXPECT_EQ(outcome.code, Exit::kStopped);
  EXPECT_NE(outcome.reason.find("before the end time"), std::string::npos);
  const auto log = io::read_log(decks.path("a") + "/log.jsonl");
  ASSERT_EQ(log.checkpoints.size(), 2u);
  EXPECT_EQ(log.checkpoints[0].step, 2) << "a trial, to measure";
  EXPECT_EQ(log.checkpoints[1].step, outcome.last_step);
  ASSERT_EQ(log.starts.size(), 1u);
  ASSERT_EQ(log.starts_before_stop, std::vector<std::size_t>{1});

  // The next part knows, and needs no trial; with its end already past it still makes a step.
  const engine::Outcome next = run("a", -1, true);
  EXPECT_EQ(next.code, Exit::kStopped);
  EXPECT_EQ(next.last_step, outcome.last_step + 1);
  EXPECT_EQ(io::read_log(decks.path("a") + "/log.jsonl").checkpoints.size(), 3u);
}

TEST(BatchJobTest, IsWhatTheSchedulerSays) {
  for (const char* name : {"SLURM_JOB_ID", "PBS_JOBID", "TRIREME_RESTARTS"}) unsetenv(name);
  EXPECT_EQ(engine::part_of_run(4, 2, 1).scheduler, "");
  setenv("SLURM_JOB_ID", "17", 1);
  setenv("SLURM_JOB_PARTITION", "low", 1);
  setenv("SLURM_JOB_NODELIST", "node[1-2]", 1);
  setenv("SLURM_RESTART_COUNT", "2", 1);
  io::StartEvent job = engine::part_of_run(4, 2, 1);
  EXPECT_EQ(job.scheduler + " " + job.job + " " + job.queue + " " + job.hosts,
            "slurm 17 low node[1-2]");
  EXPECT_EQ(job.restarts, 2);
  EXPECT_EQ(job.step * 100 + job.ranks * 10 + job.nodes, 421);
  EXPECT_TRUE(std::isnan(job.queue_seconds));
  setenv("TRIREME_QUEUE_SECONDS", "11", 1);
  setenv("TRIREME_RESTARTS", "3", 1);
  job = engine::part_of_run(4, 2, 1);
  EXPECT_EQ(job.restarts, 3);
  EXPECT_EQ(job.queue_seconds, 11);
  unsetenv("SLURM_JOB_ID");
  setenv("PBS_JOBID", "4.pbs1", 1);
  setenv("PBS_QUEUE", "work", 1);
  job = engine::part_of_run(4, 2, 1);
  EXPECT_EQ(job.scheduler + " " + job.job + " " + job.queue, "pbs 4.pbs1 work");
  unsetenv("PBS_JOBID");
}

}  // namespace
}  // namespace trireme::validation
