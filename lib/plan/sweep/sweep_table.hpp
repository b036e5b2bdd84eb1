#pragma once
// What the points of a sweep came to: one table, as text, CSV and HDF5, and one page.

#include "lib/plan/sweep/sweep_folder.hpp"
#include "lib/report/runs.hpp"

#include <optional>
#include <variant>

namespace trireme::plan {

/// A point and what is there of its run.
struct PointResult {
  SweepPoint point;
  PointStatus status;
  std::optional<report::Run> run;  ///< nothing before its first log or record
  double objective = report::kUnknown;
  bool has_page = false;  ///< report.html is there
  int rank = 0;           ///< 1 is the best; 0: not finished, or without the objective's number
};

struct SweepResults {
  SweepRecord record;
  std::vector<PointResult> points;  ///< in the order of the sweep
  std::vector<std::string> unread;  ///< what can't be read of runs: it is left out, and said

  std::size_t count(PointState state) const;
  std::vector<std::size_t> ranked() const;  ///< indices of the points with a rank, best first
};

/// Reads a sweep's folder with the reports and logs of its runs. Exit::kFile as read_record().
SweepResults read_results(const std::filesystem::path& folder);

/// One column of the table, a value a point; a number that is not known is NaN.
struct SweepColumn {
  std::string name;
  std::variant<std::vector<double>, std::vector<std::string>> values;
};

/// point, state, exit_code, reason, rank, objective; then "axis.<key>" for each axis (numbers where
/// all of its values are numbers, else JSON); then numbers of report.json by their paths.
std::vector<SweepColumn> columns_of(const SweepResults& results);

/// RFC 4180, numbers with all their bits, unknown ones empty.
std::string sweep_csv(const std::vector<SweepColumn>& columns);

/// The same columns as datasets of their names below "/points", float64 or fixed-length UTF-8, with
/// the attributes "columns" (their order), "objective" and "minimize". Replaces `file`.
void write_sweep_hdf5(const std::filesystem::path& file, const SweepResults& results,
                      const std::vector<SweepColumn>& columns);

/// For a terminal: counts, the best points, and why others failed.
std::string sweep_text(const SweepResults& results);

/// The page; links are relative to the sweep's folder.
std::string sweep_page(const SweepResults& results);

}  // namespace trireme::plan
