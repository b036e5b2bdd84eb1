#include "lib/plan/machine_rates.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>

namespace trireme::plan {

engine::CheckRates rates_on(const Machine& machine, const engine::Setup& setup) {
  const std::int64_t ranks = setup.grid.size();
  const std::int64_t nodes = (ranks + machine.ranks_per_node - 1) / machine.ranks_per_node;
  check(nodes <= machine.nodes, Exit::kUsage,
        "{} ranks are {} nodes of the machine {} with {} ranks each, but it has {} nodes: choose a "
        "smaller grid or another machine",
        ranks, nodes, machine.name, machine.ranks_per_node, machine.nodes);

  engine::CheckRates found = engine::default_rates(setup.deck);
  const std::string source = "machine " + machine.name;
  const double sharing = static_cast<double>(std::min(ranks, machine.ranks_per_node));
  const auto take = [&](engine::CheckRate& rate, double of_node) {
    if (of_node > 0) rate = {of_node / sharing, source};
  };
  const Rates& stated = machine.bandwidth;
  const bool narrow = setup.deck.precision.compute != DType::f32;
  if (!setup.deck.report.peak_flops)
    take(found.flops, narrow && machine.node.flops_16bit > 0 ? machine.node.flops_16bit
                                                             : machine.node.flops_fp32);
  take(found.memory, stated.memory);
  take(found.host, stated.memory / 2);
  take(found.link, nodes > 1 ? stated.network : stated.memory / 3);
  if (stated.nvme_read > 0 && stated.nvme_write > 0)
    take(found.storage, 2 / (1 / stated.nvme_read + 1 / stated.nvme_write));
  return found;
}

}  // namespace trireme::plan
