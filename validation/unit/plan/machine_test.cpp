// Machine files: all that the project ships are sound, every mistake is named, and what a shell
// reads back is what the file says.

#include "lib/plan/machine.hpp"
#include "validation/unit/plan/refusal.hpp"

#include "trireme_paths.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>

namespace trireme::validation {
namespace {

namespace fs = std::filesystem;

class MachineTest : public testing::Test {
 protected:
  MachineTest() { fs::create_directories(folder_); }
  ~MachineTest() override { fs::remove_all(folder_); }

  plan::Machine read(const std::string& text) {
    std::ofstream(folder_ / "mine.json") << text;
    return plan::read_machine(folder_ / "mine.json");
  }
  std::string mistakes(const std::string& text) {
    return refusal([&] { read(text); });
  }

  fs::path folder_ = fs::path(testing::TempDir()) / fmt::format("machine-{}", getpid());
};

constexpr char kSound[] = R"({
  "scheduler": "slurm", "launcher": "srun -n {ranks} {job}/x", "nodes": 4, "ranks_per_node": 2,
  // comments are fine
  "node": {"cores": 7, "memory_gib": 1.5, "nvme_path": "/nvme"},
  "environment": {"A": "it's $HOME"}, "modules": ["a/1", "b"],
  "bandwidth_gb": {"network": 12.5}
})";

TEST_F(MachineTest, ShippedFilesAreSound) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(kSourceDir) / "jobs/machines")) {
    if (entry.path().extension() != ".json") continue;
    const plan::Machine machine = plan::read_machine(entry.path());
    EXPECT_FALSE(machine.description.empty()) << entry.path();
    EXPECT_GE(machine.threads_per_rank(), 1) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 3);
}

TEST_F(MachineTest, ReadsUnitsAndNames) {
  const plan::Machine machine = read(kSound);
  EXPECT_EQ(machine.name, "mine");
  EXPECT_EQ(machine.node.memory, (3LL << 30) / 2);
  EXPECT_EQ(machine.bandwidth.network, 12.5e9);
  EXPECT_EQ(machine.threads_per_rank(), 3);
}

TEST_F(MachineTest, AShellReadsTheSame) {
  std::ofstream(folder_ / "machine.sh")
      << plan::shell_text(read(kSound))
      << "printf '%s|' \"$machine\" \"$modules\" \"$launcher\" \"$A\"";
  const std::string command = "sh " + (folder_ / "machine.sh").string();
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::array<char, 256> text{};
  const std::size_t size = std::fread(text.data(), 1, text.size(), pipe.get());
  EXPECT_EQ(std::string(text.data(), size), "mine|a/1 b|srun -n {ranks} {job}/x|it's $HOME|");
}

TEST_F(MachineTest, NamesEveryMistake) {
  EXPECT_EQ(mistakes(kSound), "");
  const std::string all =
      mistakes(R"({"scheduler": "lsf", "launcher": "run {gpus}", "max_minute": 4,
      "ranks_per_node": 8, "node": {"cores": 4, "memory_gib": "much"}, "modules": "a",
      "environment": {"1A": "x", "B": 2}})");
  for (const char* part : {"expected \"slurm\" or \"pbs\", found \"lsf\"", "{gpus} is none of",
                           "expected {ranks} in it", "nodes: missing",
                           "max_minute: unknown key; nearest known: \"max_minutes\"",
                           "ranks_per_node: 8 ranks are more than node.cores 4",
                           "node.memory_gib: expected a number above 0, found \"much\"",
                           "modules: expected a list of texts", "\"1A\" is no name of a variable",
                           "environment.B: expected a text, found 2"})
    EXPECT_TRUE(contains(all, part)) << part << " in " << all;
  EXPECT_TRUE(contains(mistakes("[1]"), "expected a JSON object"));
  EXPECT_TRUE(contains(mistakes("{"), "expected JSON with comments"));
  EXPECT_THROW(plan::read_machine(folder_ / "none.json"), Error);
}

}  // namespace
}  // namespace trireme::validation
