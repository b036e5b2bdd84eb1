#pragma once
// How a deck runs on nodes of a machine: what jobs/submit asks before it submits, and a job that
// came back on another number of nodes asks again.

#include "lib/deck/deck.hpp"
#include "lib/engine/setup.hpp"
#include "lib/plan/machine.hpp"

namespace trireme::plan {

struct JobLayout {
  std::int64_t nodes = 1;
  std::int64_t ranks = 1;
  std::int64_t ranks_per_node = 1;
  std::int64_t threads = 1;  ///< a rank
  deck::ParallelConfig parallel;
  deck::BatchConfig batch;
  std::vector<std::string> settings;  ///< what --set takes beyond what was asked: grid, NVMe path
};

/// Tensor and pipeline axes are the deck's; those it leaves open are the fewest ranks on which the
/// model's state and activations fit into the machine's memory, tensor inside a node. The data axis
/// takes all other ranks. Compiles and checks the programs, as --check does.
/// Throws Exit::kUsage where the machine lacks the nodes, the deck does not go with so many ranks,
/// or a rank needs more memory than its share of a node.
JobLayout lay_out(const deck::Source& deck, const std::vector<std::string>& overrides,
                  const Machine& machine, std::int64_t nodes);

/// The same on the largest number of nodes, at most `nodes` and at least `least`, with which the
/// deck goes. Throws what lay_out() says of `nodes` when there is none.
JobLayout lay_out_within(const deck::Source& deck, const std::vector<std::string>& overrides,
                         const Machine& machine, std::int64_t least, std::int64_t nodes);

/// Throws Exit::kUsage where the fullest rank needs more memory than its share of a node.
void check_memory(const engine::Setup& setup, const Machine& machine, std::int64_t ranks_per_node);

/// The layout as variables of a POSIX shell.
std::string shell_text(const JobLayout& layout);

}  // namespace trireme::plan
