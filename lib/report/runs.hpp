#pragma once
// Run folders: found, read, and how their decks differ.

#include "io/metrics/log_file.hpp"
#include "lib/report/run_report.hpp"

#include <filesystem>
#include <span>

namespace trireme::report {

struct Run {
  std::string name;  ///< the run folder, as it was given
  RunReport report;
  io::LogContents log;
  /// False: the run failed before its report. `report` then holds what exit.json, the log and the
  /// resolved deck tell; its title is empty.
  bool reported = true;
};

/// Ended neither with its length reached (0) nor with a good checkpoint to go on from (10), or left
/// no report.
bool failed(const Run& run);

/// Whether the folder holds what only a run writes.
bool is_run(const std::filesystem::path& folder);

/// The run folders at or below `path`, in order of their names, links not followed; `path` itself
/// where there is none, so that reading it says what is missing.
std::vector<std::filesystem::path> find_runs(const std::filesystem::path& path);

/// Reads report.json and log.jsonl of a run folder, or what a failed run left. Error(kFile) names
/// the file that was expected.
Run read_run(const std::filesystem::path& run_dir);

/// Names of the runs without the folder that all of them share.
std::vector<std::string> short_names(std::span<const Run> runs);

/// A key that has not the same value in the decks of all runs.
struct DeckColumn {
  std::string key;                  ///< dotted path
  std::string name;                 ///< its last part where that is unambiguous
  std::vector<std::string> values;  ///< one a run: JSON, texts without quotes; "-" without the key
};

/// All such keys, sorted, but for the sizes of the grid's axes, which stand in every table anyway.
/// Runs without a deck have "-".
std::vector<DeckColumn> deck_columns(std::span<const Run> runs);

}  // namespace trireme::report
