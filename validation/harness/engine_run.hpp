#pragma once
// The engine on a small model and made-up tokens, without files: what the laws of grids compare
// with LocalRun. All ranks of the world build one together.

#include "lib/engine/executor.hpp"
#include "lib/engine/setup.hpp"
#include "lib/optim/step_control.hpp"
#include "validation/harness/comparison.hpp"

#include <functional>
#include <vector>

namespace trireme::validation {

/// A deck of this model with f32, one sample a micro-batch, plain AdamW, clipping on; on the test's
/// device (device_fixture.hpp).
deck::Deck engine_deck(const deck::ModelConfig& model);
/// The same over all ranks as data parallel ones, two micro-batches each.
deck::Deck two_micro_batches(const comm::World& world, const deck::ModelConfig& model);

/// Target, input or document start of a position, the same for all grids; some targets are ignored.
struct MadeTokens {
  std::int64_t vocabulary = 2;
  std::int64_t sequence = 1;

  std::int32_t input(std::int64_t step, std::int64_t sample, std::int64_t position) const;
  std::int32_t target(std::int64_t step, std::int64_t sample, std::int64_t position) const;
  std::int32_t document(std::int64_t position) const;
};

/// Breaks an engine run on purpose.
struct EngineFaults {
  /// Changes the compiled training program before it runs.
  std::function<void(program::Compiled&)> program = {};
  std::int64_t blank_sample = -1;  ///< this sample's targets count for nothing
  double gradient_factor = 1;      ///< on the seed of the backward pass
  bool swap_shards = false;        ///< tensor ranks 0 and 1 hand in each other's gradients
};

/// Which state of the units: gradients, masters, a moment.
struct StateName {
  program::Purpose purpose = program::Purpose::masters;
  std::int32_t number = 0;
};
struct GatherOptions {
  /// Replicas (data axis, tied stages, undivided parameters) must be equal to the bit, an Error
  /// otherwise.
  bool equal_replicas = true;
  /// Fault: tensor ranks 0 and 1 hand in each other's shards.
  bool swap_shards = false;
  /// Of whole buffers only the rank's own share counts: ZeRO stage 1's gradients after their sum.
  bool own_shares = false;
};
/// Whole logical tensors in StepOutcome::gradients, on all ranks, from those that hold them;
/// collective. Only for small models.
StepOutcome gather_whole(const comm::World& world, const models::Model& model,
                         const engine::Place& place, state::Store& store, const StateName& name,
                         const GatherOptions& options = {});

/// Sanitizers keep shadow memory of what a program touches: resident memory is then more than was
/// planned, and tests can only ask for no less.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kShadowMemory = true;
#else
inline constexpr bool kShadowMemory = false;
#endif

/// Makes the first master of a unit NaN.
void poison(state::Store& store, const state::UnitState& unit);

/// A rank that failed must not leave the others waiting for ever.
comm::CommOptions patient_comm();

class EngineRun {
 public:
  EngineRun(const comm::World& world, const deck::Deck& deck, const EngineFaults& faults = {},
            const engine::ExecutorOptions& options = {},
            const comm::CommOptions& comm = patient_comm());

  /// Trains on these micro-batches, in the order of steps and samples, and not on MadeTokens.
  void feed(std::vector<LocalBatch> batches) { fed_ = std::move(batches); }
  /// The next training step.
  engine::StepResult step();
  /// The loss of the last step and its gradients, whole, on all ranks. Collective.
  StepOutcome outcome();
  /// The same for the masters.
  StepOutcome masters();
  /// Weights from the masters, after a test changed those.
  void refresh() { refresh_.run({}); }
  /// Forward only, on the tokens of the step to come: the summed loss.
  double evaluate();

  const engine::Setup& setup() const { return setup_; }
  state::Store& store() { return store_; }
  const comm::Communicators& communicators() const { return communicators_; }
  engine::Executor& executor() { return training_; }
  const engine::Place& place() const { return place_; }
  std::int64_t steps() const { return step_; }

 private:
  engine::StepInput input() const;
  engine::LoadBatch load();
  std::int64_t load_fed(std::int64_t first, const TensorView& tokens, const TensorView& documents);

  const comm::World& world_;
  EngineFaults faults_;
  std::vector<LocalBatch> fed_;  // empty: MadeTokens
  engine::Setup setup_;
  engine::Place place_;
  state::Store store_;
  comm::Communicators communicators_;
  optim::StepControl control_;
  engine::Executor training_;
  engine::Executor evaluation_;
  engine::Executor refresh_;
  std::int64_t step_ = 0;
  double loss_ = 0;
};

/// The same steps on one rank by LocalRun: what every grid must agree with.
class ReferenceRun {
 public:
  explicit ReferenceRun(const deck::Deck& deck);
  StepOutcome step();

 private:
  std::vector<LocalBatch> batches() const;

  deck::Deck deck_;
  models::Model model_;
  LocalRun run_;
  optim::StepControl control_;
  std::int64_t step_ = 0;
};

}  // namespace trireme::validation
