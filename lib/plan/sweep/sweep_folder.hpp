#pragma once
// The folder of a sweep, which submission and report share:
//
//   sweep.json            what the sweep is: objective, axes, points with their values
//   todo                  names of the points that are to run, a line each
//   points/NAME/          run folder of a point, with its deck.json
//   points/NAME/job/end   how its last process ended, as its job script saw it (jobs/part.sh)
//   job/                  the job's files

#include "lib/plan/sweep/points.hpp"

#include <map>

namespace trireme::plan {

inline constexpr char kSweepName[] = "sweep.json";
inline constexpr char kTodoName[] = "todo";
inline constexpr char kPointsName[] = "points";

enum class PointState { waiting, running, finished, interrupted, failed, refused };
std::string_view name_of(PointState state);

/// How far a point is, from what its last process left.
struct PointStatus {
  PointState state = PointState::waiting;
  int code = 0;  ///< exit code, where it has ended
  std::string reason;
};

/// sweep.json. Points have no settings and no deck here.
struct SweepRecord {
  std::filesystem::path file;  ///< the sweep deck
  std::filesystem::path base;
  Objective objective;
  std::vector<std::string> keys;  ///< of the axes
  std::vector<SweepPoint> points;
};

/// Exit::kFile: the folder is no sweep's, or its sweep.json is damaged.
SweepRecord read_record(const std::filesystem::path& folder);

/// A point is refused; waits (no process has started); runs, or was lost with its job; finished
/// (exit code 0), was interrupted with a good checkpoint (10) or failed.
PointStatus status_of(const std::filesystem::path& folder, const SweepPoint& point);

/// What writing a sweep's folder found there.
struct SweepChange {
  std::vector<std::string> added;            ///< points that were not in the sweep before
  std::vector<std::string> removed;          ///< no longer in it; their runs stay
  std::map<PointState, std::size_t> states;  ///< points by how far they are
  std::vector<std::string> todo;             ///< all but finished and refused ones
  bool fresh = true;                         ///< there was no sweep here before
};

/// Writes sweep.json, todo and the points' decks. Exit::kFile: a file can't be written.
SweepChange write_folder(const std::filesystem::path& folder, const SweepDeck& sweep,
                         const SweepPoints& points);

/// The change in a few lines of words.
std::string describe(const SweepChange& change, const SweepPoints& points);

}  // namespace trireme::plan
