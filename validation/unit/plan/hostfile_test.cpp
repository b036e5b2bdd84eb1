// DeepSpeed's hostfiles and its grammar of hosts, with the cases of its own tests of the launcher.

#include "lib/plan/hostfile.hpp"
#include "validation/unit/plan/refusal.hpp"

#include <gtest/gtest.h>

namespace trireme::validation {
namespace {

std::string read(std::string_view text) {
  return plan::hostfile_text(plan::read_hostfile(text, "h"));
}

std::string pick(std::string_view include, std::string_view exclude) {
  const auto hosts = plan::read_hostfile("worker-0 slots=4\nworker-1 slots=4\n", "h");
  return plan::hostfile_text(plan::pick_hosts(hosts, include, exclude));
}

TEST(HostfileTest, ReadsHostsSlotsAndComments) {
  EXPECT_EQ(read("# all\n\nworker-0 slots=4\n  worker-1\tslots=2  # two\r\n"),
            "worker-0 slots=4\nworker-1 slots=2\n");
}

TEST(HostfileTest, NamesTheLineThatIsWrong) {
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"worker-0 slots=4\nworker-1\n", "h:2: expected \"HOST slots=N\""},
           {"worker-0 slots=four\n", "h:1: expected"},
           {"worker-0 slots=0\n", "h:1: expected"},
           {"worker-0 4\n", "h:1: expected"},
           {"a slots=1\na slots=2\n", "h:2: the host a is named twice"},
           {"# nobody\n", "names no host"}})
    EXPECT_TRUE(contains(refusal([&] { read(text); }), message)) << text;
}

TEST(HostfileTest, PicksAsDeepSpeedDoes) {
  EXPECT_EQ(pick("", ""), "worker-0 slots=4\nworker-1 slots=4\n");
  EXPECT_EQ(pick("worker-0@worker-1:0,2", ""), "worker-0 slots=4\nworker-1 slots=2\n");
  EXPECT_EQ(pick("worker-1:0@worker-1:1", ""), "worker-1 slots=2\n");
  EXPECT_EQ(pick("", "worker-1:0"), "worker-0 slots=4\nworker-1 slots=3\n");
  EXPECT_EQ(pick("", "worker-0"), "worker-1 slots=4\n");
}

TEST(HostfileTest, RefusesWhatIsNotThere) {
  EXPECT_TRUE(contains(refusal([] { pick("worker-2", ""); }), "found \"worker-2\""));
  EXPECT_TRUE(contains(refusal([] { pick("", "worker-0:4"); }), "expected slots 0 to 3"));
  EXPECT_TRUE(contains(refusal([] { pick("worker-0:x", ""); }), "found \"x\""));
  EXPECT_TRUE(contains(refusal([] { pick("worker-0", "worker-1"); }), "contradict"));
  EXPECT_TRUE(contains(refusal([] { pick("", "worker-0@worker-1"); }), "leaves no slot"));
}

}  // namespace
}  // namespace trireme::validation
