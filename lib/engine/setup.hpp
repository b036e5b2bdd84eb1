#pragma once
// From a resolved deck to a model and its checked programs: what --check and a run have in common.
// No MPI, no memory.

#include "lib/comm/grid.hpp"
#include "lib/deck/deck.hpp"
#include "lib/models/model.hpp"
#include "lib/program/compile.hpp"

namespace trireme::engine {

/// Everything about a run that does not depend on the rank. Not movable: programs refer to the
/// model.
class Setup {
 public:
  /// Builds, compiles and checks. Throws Exit::kUsage where the deck asks for what can't be
  /// divided or for more memory than its limits (see fit.hpp), and Exit::kUnexpected when the
  /// checker finds a defect.
  explicit Setup(const deck::Deck& deck);
  Setup(const Setup&) = delete;
  Setup& operator=(const Setup&) = delete;

  const deck::Deck deck;
  comm::ProcessGrid grid;
  models::Model model;
  program::Options options;
  program::Layout layout;
  program::ResidentTable resident;
  program::Compiled training;
  program::Compiled evaluation;  ///< forward only, the same micro-batches
  program::Compiled refresh;     ///< weights from masters, before the first step

  std::int64_t tokens_per_step() const { return deck.batch.global * model.placement.sequence; }
  /// 6 N + 12 layers d context, N without position embeddings.
  double flops_per_token() const { return deck::flops_per_token(deck.model); }
  /// "blocks embedding to layers.3, 2.6 M parameters": for the grid plan.
  std::string stage_holds(int stage) const;
};

/// A rate of one rank, and who says so: "default", "report.peak_flops", "machine NAME".
struct CheckRate {
  double value = 0;
  std::string source = "default";
};
/// What --check turns a step's work into seconds with.
struct CheckRates {
  CheckRate flops;   ///< of products, flop/s
  CheckRate memory;  ///< bytes/s, like those below
  CheckRate host;    ///< between device and host tier
  CheckRate storage;
  CheckRate link;
  CheckRate latency;  ///< seconds a message
};
/// The deck's peak where it gives one; the rest are the simulator's.
CheckRates default_rates(const deck::Deck& deck);

/// What --check prints: grid, programs, memory by purpose, predicted bubble and time. `full_stage`
/// >= 0 adds that stage's program instruction by instruction.
std::string check_text(const Setup& setup, int full_stage, const CheckRates& rates);

}  // namespace trireme::engine
