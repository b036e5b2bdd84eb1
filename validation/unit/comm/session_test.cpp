// How programs end: the code of the error, its message once, and nobody left waiting.

#include <gtest/gtest.h>

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

namespace trireme::comm {
namespace {

struct Ended {
  int code = -1;
  std::string output;
};

Ended run_once(int ranks, const std::string& how) {
  // Our own MPI session has left its marks in the environment; the program must not see them.
  std::string command =
      "env -i PATH=\"$PATH\" HOME=\"$HOME\" LD_LIBRARY_PATH=\"$LD_LIBRARY_PATH\" "
      "ASAN_OPTIONS=\"$ASAN_OPTIONS\" UBSAN_OPTIONS=\"$UBSAN_OPTIONS\" "
      "TSAN_OPTIONS=\"$TSAN_OPTIONS\" "
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 50 ";
  if (ranks > 0)
    command += TRIREME_MPIEXEC " --oversubscribe --bind-to none -n " + std::to_string(ranks) + " ";
  command += TRIREME_SESSION_PROGRAM " '" + how + "' 2>&1";
  Ended ended;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return ended;
  std::array<char, 4096> part;
  while (std::fgets(part.data(), static_cast<int>(part.size()), pipe)) ended.output += part.data();
  const int status = pclose(pipe);
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

/// Runs the session program on `ranks` ranks; 0 = without mpirun. Where mpirun itself crashed while
/// it took itself apart behind all ranks (a race of Open MPI 4.1 and PMIx 4 on a busy machine), its
/// code says nothing of ours: again, a few times.
Ended run_session(int ranks, const std::string& how) {
  Ended ended;
  for (int tries = 0; tries < 3; ++tries) {
    ended = run_once(ranks, how);
    const bool crashed_at_its_end =
        ended.code == 139 && ended.output.find("PMIx_server_finalize") != std::string::npos;
    if (!crashed_at_its_end) break;
  }
  return ended;
}

int occurrences(const std::string& text, const std::string& what) {
  int count = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(Session, EndsWellAloneAndTogether) {
  for (int ranks : {0, 1, 3}) {
    const Ended ended = run_session(ranks, "well");
    EXPECT_EQ(ended.code, 0) << ended.output;
    EXPECT_EQ(occurrences(ended.output, "sum "), ranks == 0 ? 1 : ranks);
  }
}

TEST(Session, AMistakeOfAllRanksIsToldOnce) {
  for (int ranks : {0, 3}) {
    const Ended ended = run_session(ranks, "all");
    EXPECT_EQ(ended.code, 2) << ended.output;
    EXPECT_EQ(occurrences(ended.output, "the deck has no model"), 1) << ended.output;
  }
}

TEST(Session, AFailureOfOneRankEndsAllWithItsCode) {
  const Ended ended = run_session(3, "one");
  EXPECT_EQ(ended.code, 4) << ended.output;
  EXPECT_EQ(occurrences(ended.output, "the loss is NaN [rank 2"), 1) << ended.output;
  EXPECT_EQ(occurrences(ended.output, "sum "), 0) << ended.output;
}

TEST(Session, OtherExceptionsAreUnexpected) {
  const Ended ended = run_session(3, "stranger");
  EXPECT_EQ(ended.code, 1) << ended.output;
  EXPECT_EQ(occurrences(ended.output, "error: something else"), 1) << ended.output;
}

TEST(Session, ACodeWithoutAnErrorPassesThrough) {
  EXPECT_EQ(run_session(2, "stopped").code, 10);
  EXPECT_EQ(run_session(0, "stopped").code, 10);
}

TEST(Session, ARankThatStandsStillInWorkOfAllEndsTheJob) {
  const Ended ended = run_session(3, "still");
  EXPECT_EQ(ended.code, 5) << ended.output;
  EXPECT_GE(occurrences(ended.output, "work that all ranks must finish [session.cpp:"), 1)
      << ended.output;
  EXPECT_EQ(occurrences(ended.output, "[rank 2"), 0) << ended.output;
}

TEST(Session, ARankThatStandsStillAtTheEndEndsTheJob) {
  const Ended ended = run_session(3, "still at the end");
  EXPECT_EQ(ended.code, 5) << ended.output;
  EXPECT_GE(occurrences(ended.output, "waiting for all ranks at the end [world.cpp:"), 1)
      << ended.output;
}

TEST(Session, ASlowRankIsWaitedFor) {
  const Ended ended = run_session(3, "slow");
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_EQ(occurrences(ended.output, "no progress"), 0) << ended.output;
}

}  // namespace
}  // namespace trireme::comm
