#pragma once
// Several runs side by side: as text, CSV and JSON.

#include "io/metrics/log_file.hpp"
#include "lib/report/run_report.hpp"

#include <filesystem>
#include <span>

namespace trireme::report {

struct Run {
  std::string name;  ///< the run folder, as it was given
  RunReport report;
  io::LogContents log;
};

/// Reads report.json and log.jsonl of a run folder. Error(kFile) names the file that was expected.
Run read_run(const std::filesystem::path& run_dir);

/// One line a run, aligned columns, units in the head.
std::string runs_table(std::span<const Run> runs);

/// The same numbers and more at full precision, one line a run, RFC 4180; unknown numbers are
/// empty.
std::string runs_csv(std::span<const Run> runs);

/// An array of flat objects with the keys of runs_csv's head; unknown numbers are null.
std::string runs_json(std::span<const Run> runs);

/// Every step of every run, with "run" and the keys of log.jsonl.
std::string steps_csv(std::span<const Run> runs);

}  // namespace trireme::report
