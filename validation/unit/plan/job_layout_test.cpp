// A deck on nodes of a machine: the data axis follows, open axes take what fits, and what does not
// go is refused or laid on fewer nodes.

#include "lib/plan/job_layout.hpp"
#include "validation/unit/plan/refusal.hpp"

#include <gtest/gtest.h>

namespace trireme::validation {
namespace {

constexpr char kDeck[] = R"({
  "model": {"family": "gpt", "vocabulary": 64, "context": 8, "layers": 4, "hidden": 256, "heads": 8},
  "data": {"tokens": "none.h5"}, "train_batch_size": 24, "train_micro_batch_size_per_gpu": 1,
  "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}, "run": {"max_steps": 2}
})";

plan::Machine machine_of(std::int64_t ranks_per_node, double mebibytes) {
  plan::Machine machine;
  machine.name = "test";
  machine.nodes = 16;
  machine.ranks_per_node = ranks_per_node;
  machine.node.cores = 8;
  machine.node.memory = static_cast<std::int64_t>(mebibytes * 1024 * 1024);
  return machine;
}

plan::JobLayout lay_out(const plan::Machine& machine, std::int64_t nodes,
                        const std::vector<std::string>& overrides = {}) {
  return plan::lay_out({kDeck, "/nowhere/deck.json"}, overrides, machine, nodes);
}

TEST(JobLayoutTest, TheDataAxisFollowsTheNodes) {
  const plan::Machine machine = machine_of(4, 1e5);
  for (const std::int64_t nodes : {1, 2, 3, 6}) {
    const plan::JobLayout layout = lay_out(machine, nodes, {"parallel.tensor=2"});
    EXPECT_EQ(layout.ranks, 4 * nodes);
    EXPECT_EQ(layout.threads, 2);
    EXPECT_EQ(layout.parallel.data, 2 * nodes);
    EXPECT_EQ(layout.parallel.tensor, 2);
    EXPECT_EQ(layout.batch.global, 24);
    EXPECT_TRUE(layout.settings.empty());
  }
}

TEST(JobLayoutTest, OpenAxesDivideTheModelUntilItFits) {
  // 3.2 M parameters and their state in f32 are about 50 MiB a rank.
  EXPECT_EQ(lay_out(machine_of(4, 4 * 80), 1).parallel.tensor, 1);
  const plan::JobLayout halved = lay_out(machine_of(4, 4 * 40), 1);
  EXPECT_EQ(halved.parallel.tensor * halved.parallel.pipeline, 2);
  EXPECT_EQ(halved.settings, std::vector<std::string>{"parallel.tensor=2"});
  EXPECT_EQ(halved.parallel.data, 2);
  // A deck's own axes stay: then it does not fit.
  const std::string no = refusal([] {
    lay_out(machine_of(4, 4 * 40), 1, {"parallel.tensor=1", "parallel.pipeline=1"});
  });
  EXPECT_TRUE(contains(no, "a rank needs")) << no;
  EXPECT_TRUE(contains(refusal([] { lay_out(machine_of(4, 1), 1); }), "a rank needs"));
}

TEST(JobLayoutTest, FewerNodesWhereTheDeckDoesNotGoWithAll) {
  const plan::Machine machine = machine_of(2, 1e5);
  const deck::Source deck{kDeck, "/nowhere/deck.json"};
  EXPECT_TRUE(contains(refusal([&] { lay_out(machine, 5); }), "does not add up"));
  EXPECT_EQ(plan::lay_out_within(deck, {}, machine, 1, 5).nodes, 4);
  EXPECT_TRUE(
      contains(refusal([&] { plan::lay_out_within(deck, {}, machine, 5, 5); }), "does not add up"));
  EXPECT_TRUE(contains(refusal([&] { lay_out(machine, 17); }), "ask for 1 to 16"));
}

TEST(JobLayoutTest, StateOnNvmeGoesToTheNodesDisk) {
  plan::Machine machine = machine_of(1, 1e5);
  const std::vector<std::string> nvme{"zero_optimization.stage=1",
                                      "zero_optimization.offload_optimizer.device=nvme"};
  machine.node.nvme_path = "/nvme";
  EXPECT_EQ(lay_out(machine, 1, nvme).settings,
            std::vector<std::string>{"zero_optimization.offload_optimizer.nvme_path=/nvme"});
  std::vector<std::string> own = nvme;
  own.push_back("zero_optimization.offload_optimizer.nvme_path=auto");
  EXPECT_TRUE(lay_out(machine, 1, own).settings.empty());
  EXPECT_TRUE(lay_out(machine, 1).settings.empty());
}

TEST(JobLayoutTest, AShellGetsWords) {
  plan::JobLayout layout;
  layout.settings = {"a.b=it's", "c=1"};
  EXPECT_EQ(plan::shell_text(layout),
            "nodes=1\nranks=1\nranks_per_node=1\nthreads=1\n"
            "settings=(--set 'a.b=it'\\''s' --set 'c=1')\n");
}

}  // namespace
}  // namespace trireme::validation
