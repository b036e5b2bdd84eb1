#pragma once
// The points of a scaling study: one deck on growing numbers of ranks, each checked before any of
// them is run.

#include "lib/deck/deck.hpp"
#include "lib/plan/machine.hpp"
#include "lib/report/study.hpp"

namespace trireme::plan {

struct StudyRequest {
  bool strong = true;  ///< the deck's global batch on all numbers of ranks
  bool weak = true;    ///< a batch that grows with them
  std::vector<std::int64_t> ranks = {};
  struct Grid {
    std::int64_t tensor = 1;
    std::int64_t pipeline = 1;
  };
  std::vector<Grid> grids = {};  ///< the data axis takes the other ranks; empty: the deck's own
  std::int64_t steps = 20;
  std::int64_t samples_per_rank = 0;  ///< weak; 0: the deck's batch over the fewest ranks
  std::int64_t threads = 0;           ///< a rank; 0: the machine's cores over its ranks a node
};

struct ScalingStudy {
  report::Study study;
  /// What --set takes for each point of the study, beyond `overrides`.
  std::vector<std::vector<std::string>> settings;
};

/// Points in the order kind, grid, ranks. A number of ranks is spread over whole nodes, or part of
/// one; on a machine without a scheduler all of them share it. The micro-batch is the deck's.
///
/// A point that can't be run stays in the plan with the reason: ranks that do not fill nodes or
/// divide into the grid, a batch that does not divide into micro-batches of all replicas, a deck
/// that does not check on them or does not fit into their memory.
///
/// Throws Exit::kUsage when no batch is known (the deck leaves train_batch_size open), samples a
/// rank are no whole number, nothing is asked for, or no point at all can be run.
ScalingStudy plan_study(const deck::Source& deck, const std::vector<std::string>& overrides,
                        const Machine& machine, const StudyRequest& request);

/// Reads "1,2,8" and "1x1,2x1" (tensor x pipeline). Exit::kUsage.
std::vector<std::int64_t> read_counts(std::string_view text, std::string_view what);
std::vector<StudyRequest::Grid> read_grids(std::string_view text);

/// A line "point RUN NODES RANKS RANKS_PER_NODE THREADS --set ..." a run, for jobs/study.sh; runs
/// that two points share stand once.
std::string shell_text(const ScalingStudy& study);

/// The plan for people.
std::string study_text(const ScalingStudy& study);

}  // namespace trireme::plan
