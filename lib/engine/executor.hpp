#pragma once
// Runs the program of a rank's stage on three lanes, as DESIGN section 7 has them: compute on the
// calling thread, communication and storage on a thread each. Lanes meet only through instructions
// that wait for others.

#include "lib/comm/communicator.hpp"
#include "lib/engine/live_memory.hpp"
#include "lib/engine/scalars.hpp"
#include "lib/models/model.hpp"
#include "lib/optim/optimizer.hpp"
#include "lib/program/compile.hpp"
#include "lib/state/store.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trireme::engine {

/// Seconds an instruction ran, from the start of its program.
struct Interval {
  double start = 0;
  double end = 0;
};

/// Where in the global batch this rank stands.
struct Place {
  comm::ProcessGrid grid;
  comm::Coordinates at;
};

/// Fills a micro-batch: tokens i32 [2, micro_batch x sequence], inputs then targets; documents i32
/// [micro_batch x sequence]. Either may be empty: stages in the middle need documents alone. Called
/// on the storage lane. Returns how many of its tokens count in the loss.
using LoadBatch = std::function<std::int64_t(std::int64_t first_sample, const TensorView& tokens,
                                             const TensorView& documents)>;

/// Turns what the world agreed on into the decision about the updates. Called once a training step,
/// on the compute lane, the same on all ranks; may throw Error(kNumbers).
using Decide = std::function<optim::StepDecision(double loss_sum, double sum_of_squares)>;

/// What one run of a program needs to know beyond the program.
struct StepInput {
  nn::StepScalars scalars;
  std::int64_t first_sample = 0;         ///< global index of the global batch's first sample
  std::int64_t samples_per_replica = 1;  ///< micro-batches x samples of a micro-batch
  bool stop = false;                     ///< this rank asks all to stop after the step
  optim::StepScalars update;             ///< of updates that come before the decision
};

/// What the ranks agreed on.
struct StepResult {
  double loss_sum = 0;
  double tokens = 0;
  bool stop = false;
  optim::StepDecision decision;  ///< of a training program
  std::string warning;           ///< this rank's, of what the run did without; mostly none
};

/// Faults for tests: graphs that do not heed what makes them wrong.
struct GraphFaults {
  bool across_waits = false;   ///< go on over instructions that wait for other lanes
  bool stale_scalars = false;  ///< stay as they are when the gradient's scale is another
  bool stale_scratch = false;  ///< or when scratch memory lies elsewhere
};

struct ExecutorOptions {
  /// Faults for tests: this many seconds are slept before every instruction of a lane.
  std::array<double, program::kLanes> delay_seconds{};
  deck::CudaGraphs graphs = deck::CudaGraphs::automatic;  ///< on a GPU
  GraphFaults graph_faults;
};
inline ExecutorOptions with_graphs(ExecutorOptions options, const deck::Deck& deck) {
  options.graphs = deck.run.cuda_graphs;
  return options;
}

/// What of a GPU's compute lane runs in CUDA graphs, since the second run.
struct GraphUse {
  /// Why an instruction is in none.
  enum Why : std::size_t {
    random,       ///< draws random numbers: others in every step
    update,       ///< learning rate, clip factor and step are others
    conditional,  ///< only where the step is applied
    alone,        ///< no neighbour without a wait for another lane between
    kinds
  };
  std::int64_t graphs = 0;
  std::int64_t inside = 0;                  ///< instructions in them
  std::array<std::int64_t, kinds> plain{};  ///< instructions in none
  std::string why_none;  ///< what went wrong where graphs were to be made; empty: nothing
};

class Executor {
 public:
  /// All references must outlive the executor. `compiled` is the program of all stages; this rank
  /// runs the list of its pipeline coordinate.
  Executor(const models::Model& model, const program::Compiled& compiled, state::Store& store,
           const comm::Communicators& communicators, const Place& place,
           const deck::OptimizerConfig& optimizer, LoadBatch load, Decide decide,
           const ExecutorOptions& options = {});
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// One pass over the program. Collective over all ranks; blocks until every lane is done.
  /// Allocates nothing. An exception of any lane stops the others and is thrown here.
  StepResult run(const StepInput& input);

  /// From now on every segment's results are searched for NaN and infinity; the first one found is
  /// thrown as Error(kNumbers) that names block, segment and micro-batch. For the replay of a step
  /// that went wrong.
  void search_nonfinite();

  /// Changes with every completed instruction, on any thread.
  const std::atomic<std::uint32_t>& heartbeat() const;

  const std::vector<program::Instruction>& instructions() const;
  /// Of the last run, by instruction.
  const std::vector<Interval>& intervals() const;
  /// Seconds of the last run, and when it began on the node's monotonic clock.
  double seconds() const;
  double started() const;
  const GraphUse& graphs() const;
  /// Of the transient region, over all runs so far.
  const HighWater& high_water(program::Tier tier = program::Tier::device) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme::engine
