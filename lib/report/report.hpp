#pragma once
// What is done with a RunReport: filled from the log, written, read, shown.

#include "io/metrics/log_file.hpp"
#include "lib/report/run_report.hpp"

#include <cstdio>
#include <filesystem>
#include <span>

namespace trireme::report {

inline constexpr char kReportName[] = "report.json";
inline constexpr char kPageName[] = "report.html";

/// Fills loss, steps, tokens, step_seconds, tokens_per_second, mfu and checkpoints from the run's
/// log. `first_step` is the first step of this part of the run: times and checkpoints are taken
/// from there.
void fill_from_log(RunReport& report, const io::LogContents& log, std::int64_t first_step = 1);

/// Low <= found <= high gives "met", otherwise "missed"; a found value of NaN "not reached".
Expect judge(std::string quantity, double low, double high, double found);

/// (sum of the regions' averages - mean step time) / mean step time; NaN without regions. The law
/// is |gap| <= kRegionTolerance; the page and the summary say so when it is broken.
double region_gap(const RunReport& report);
inline constexpr double kRegionTolerance = 0.01;

/// Share of the time between the first forward and the last backward of the grid in which the
/// compute lanes of the timeline's ranks run neither forward, recompute nor backward; NaN without
/// such spans.
double measured_bubble(const Timeline& timeline);

/// The rank that needs most, NVMe left out: `used` is its resident memory, or the sum of what was
/// measured by purpose, or unknown (NaN).
struct LargestRank {
  double planned = 0;
  double used = kUnknown;
};
LargestRank largest_rank(const RunReport& report);

/// Whether the ranks have more compute threads than hardware threads to run on.
bool oversubscribed(const RunReport& report);

/// Ranks whose timeline is worth keeping on a grid of `world_size` ranks: all up to `most`, beyond
/// that evenly spread ones with the first and the last. A pure function, so all ranks agree.
std::vector<int> timeline_ranks(int world_size, int most = 16);

std::string to_json(const RunReport& report);
/// `source` names the text in errors. Error(kFile) for text that is no report, lacks a key, or is
/// of a later schema.
RunReport from_json(std::string_view text, std::string_view source);

/// Writes report.json and report.html (with the curves of log.jsonl, where there is one) into
/// `run_dir`, each by a temporary file and a rename; `with_page` false leaves report.html out.
/// Error(kFile).
void write_report(const std::filesystem::path& run_dir, const RunReport& report,
                  bool with_page = true);

/// report.html alone, from the report and the log. Error(kFile).
void write_page(const std::filesystem::path& run_dir, const RunReport& report,
                const io::LogContents& log);

/// Error(kFile) naming the file that was expected and what to do.
RunReport read_report(const std::filesystem::path& run_dir);

/// The page as text; `log` gives the curves.
std::string to_html(const RunReport& report, const io::LogContents& log);

/// What a terminal shows at the end of a run: a few lines and the table of regions
/// (name / calls / min / avg / max, seconds a step).
std::string summary_text(const RunReport& report);
void print_summary(const RunReport& report, std::FILE* out = stdout);

}  // namespace trireme::report
