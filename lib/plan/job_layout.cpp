#include "lib/plan/job_layout.hpp"

#include "kernels/base/error.hpp"
#include "lib/deck/draft.hpp"
#include "lib/engine/fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace trireme::plan {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

/// Bytes in memory, of all tiers but NVMe, that the fullest stage's ranks need each.
std::int64_t bytes_of_rank(const engine::Setup& setup) {
  engine::Limits least{};
  least[static_cast<std::size_t>(program::Tier::device)] = 1;
  least[static_cast<std::size_t>(program::Tier::host)] = 1;
  std::vector<std::int64_t> bytes(static_cast<std::size_t>(setup.grid.pipeline()));
  for (const engine::Excess& need : engine::excesses(least, {&setup.training, &setup.evaluation}))
    bytes[static_cast<std::size_t>(need.stage)] += need.planned;
  return *std::max_element(bytes.begin(), bytes.end());
}

/// State on NVMe without a folder of the deck's own goes to the node's.
std::vector<std::string> nvme_settings(const deck::Draft& draft, const Machine& machine) {
  constexpr std::string_view kPath = "zero_optimization.offload_optimizer.nvme_path";
  bool used = false;
  for (const char* key :
       {"zero_optimization.offload_optimizer.device", "zero_optimization.offload_param.device"})
    if (const std::string* device = draft.at(key).text()) used = used || *device == "nvme";
  if (!used || machine.node.nvme_path.empty() || draft.given(kPath)) return {};
  return {fmt::format("{}={}", kPath, machine.node.nvme_path)};
}

/// Tensor and pipeline sizes to try, as overrides: none where the deck gives both.
std::vector<std::vector<std::string>> model_axes(const deck::Draft& draft, const Machine& machine,
                                                 std::int64_t ranks) {
  const bool tensor_open = draft.open("parallel.tensor");
  const bool pipeline_open = draft.open("parallel.pipeline");
  std::vector<std::vector<std::string>> tries;
  for (std::int64_t pipeline = 1; pipeline <= (pipeline_open ? ranks : 1); pipeline *= 2)
    for (std::int64_t tensor = 1; tensor <= (tensor_open ? machine.ranks_per_node : 1);
         tensor *= 2) {
      std::vector<std::string>& axes = tries.emplace_back();
      if (tensor > 1) axes.push_back(fmt::format("parallel.tensor={}", tensor));
      if (pipeline > 1) axes.push_back(fmt::format("parallel.pipeline={}", pipeline));
    }
  return tries;
}

}  // namespace

void check_memory(const engine::Setup& setup, const Machine& machine, std::int64_t ranks_per_node) {
  const std::int64_t share = machine.node.memory / ranks_per_node;
  const std::int64_t bytes = bytes_of_rank(setup);
  check(bytes <= share, Exit::kUsage,
        "a rank needs {:.2f} GiB in memory, {} ranks a node of {} leave it {:.2f} GiB of {:.0f} "
        "GiB; divide the model further (parallel.tensor, parallel.pipeline, zero_optimization) or "
        "start fewer ranks a node",
        static_cast<double>(bytes) / kGiB, ranks_per_node, machine.name,
        static_cast<double>(share) / kGiB, static_cast<double>(machine.node.memory) / kGiB);
}

JobLayout lay_out(const deck::Source& source, const std::vector<std::string>& overrides,
                  const Machine& machine, std::int64_t nodes) {
  check(nodes >= 1 && nodes <= machine.nodes, Exit::kUsage,
        "{} nodes were asked for, {} has {}: ask for 1 to {}", nodes, machine.name, machine.nodes,
        machine.nodes);
  JobLayout layout;
  layout.nodes = nodes;
  layout.ranks_per_node = machine.ranks_per_node;
  layout.ranks = nodes * machine.ranks_per_node;
  layout.threads = machine.threads_per_rank();
  const deck::Draft draft = deck::read_draft(source, overrides);
  draft.mistakes.throw_if_any();
  const std::vector<std::string> nvme = nvme_settings(draft, machine);
  std::optional<Error> first;
  for (const std::vector<std::string>& axes : model_axes(draft, machine, layout.ranks)) {
    layout.settings = axes;
    layout.settings.insert(layout.settings.end(), nvme.begin(), nvme.end());
    std::vector<std::string> all = overrides;
    all.insert(all.end(), layout.settings.begin(), layout.settings.end());
    try {
      const engine::Setup setup(deck::load(source, all, layout.ranks));
      check_memory(setup, machine, machine.ranks_per_node);
      layout.parallel = setup.deck.parallel;
      layout.batch = setup.deck.batch;
      return layout;
    } catch (const Error& error) {
      if (error.code() != Exit::kUsage) throw;
      if (!first) first = error;
    }
  }
  throw *first;
}

JobLayout lay_out_within(const deck::Source& source, const std::vector<std::string>& overrides,
                         const Machine& machine, std::int64_t least, std::int64_t nodes) {
  std::optional<Error> first;
  for (std::int64_t n = nodes; n >= least; --n) {
    try {
      return lay_out(source, overrides, machine, n);
    } catch (const Error& error) {
      if (error.code() != Exit::kUsage) throw;
      if (!first) first = error;
    }
  }
  check(first.has_value(), Exit::kUsage, "expected at least {} nodes, found {}", least, nodes);
  throw *first;
}

std::string shell_text(const JobLayout& layout) {
  std::string settings;
  for (const std::string& one : layout.settings)
    settings += fmt::format("{}--set {}", settings.empty() ? "" : " ", shell_word(one));
  return fmt::format("nodes={}\nranks={}\nranks_per_node={}\nthreads={}\nsettings=({})\n",
                     layout.nodes, layout.ranks, layout.ranks_per_node, layout.threads, settings);
}

}  // namespace trireme::plan
