#pragma once
// A scaling study, measured: how speed, communication, bubble and memory change with the ranks.
// What was planned comes from study.json, every number from the report.json of the point's run.

#include "lib/report/runs.hpp"
#include "lib/report/study.hpp"

#include <set>

namespace trireme::report {

enum class PointState {
  measured,
  failed,   ///< the run ended otherwise than with its length reached, or is not what was planned
  refused,  ///< the plan says why it can't be run
  missing,  ///< not run yet, or still running
};
std::string_view name_of(PointState state);

struct ScalingPoint {
  StudyPoint plan;
  PointState state = PointState::missing;
  std::string reason;  ///< of the other states

  // All that follows is of measured points.
  StepSeconds step;                     ///< steady steps: all but the first
  double tokens_per_second = kUnknown;  ///< median of these
  std::int64_t machines = 0;            ///< as Environment has them
  std::int64_t cores = 0;
  bool oversubscribed = false;
  std::string host;
  std::string cpu;
  std::string job;  ///< "slurm 17 on node[1-2]"; empty outside of a batch system
  /// Tokens/s over what the cores give: those of the study's base point x cores used / its cores
  /// used. Cores used are ranks x threads, or the cores there are where these are fewer.
  double efficiency = kUnknown;
  double efficiency_by_ranks = kUnknown;  ///< the same with ranks x threads
  double ideal_step = kUnknown;           ///< seconds at an efficiency of 1
  /// Share of the mean step in which a rank's compute waits for other ranks, mean over ranks.
  double communication = kUnknown;
  Bubble bubble;
  double memory = kUnknown;  ///< bytes of the largest rank
};

struct Scaling {
  Study study;
  std::vector<ScalingPoint> points;  ///< in the plan's order
  std::set<std::string> commits;     ///< of the programs that measured

  /// What all points of a kind are compared with: the measured one with the fewest ranks, the
  /// fastest of these, not oversubscribed where there is one; nullptr without any.
  const ScalingPoint* base(std::string_view kind) const;
  /// Kinds that have points, strong first.
  std::vector<std::string> kinds() const;
};

/// Reads a study and its runs. Error(kFile): no study there. A run that can't be read is a failed
/// point.
Scaling read_scaling(const std::filesystem::path& folder);

/// "tensor 2 x pipeline 1"
std::string grid_name(const StudyPoint& point);

/// Where the points ran, in lines for people; and what to think of it.
std::vector<std::string> where_measured(const Scaling& scaling);

/// Tables for a terminal, full numbers one line a point (RFC 4180), one self-contained page.
std::string scaling_text(const Scaling& scaling);
std::string scaling_csv(const Scaling& scaling);
std::string scaling_page(const Scaling& scaling);

}  // namespace trireme::report
