// The run folder's two report files.

#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"
#include "lib/report/report.hpp"

namespace trireme::report {

void write_report(const std::filesystem::path& run_dir, const RunReport& report, bool with_page) {
  io::write_file_atomically(run_dir / kReportName, to_json(report));
  if (!with_page) return;
  const auto log = run_dir / io::kLogName;
  const bool there = std::filesystem::exists(log);
  write_page(run_dir, report, there ? io::read_log(log) : io::LogContents{});
}

void write_page(const std::filesystem::path& run_dir, const RunReport& report,
                const io::LogContents& log) {
  io::write_file_atomically(run_dir / kPageName, to_html(report, log));
}

RunReport read_report(const std::filesystem::path& run_dir) {
  const auto file = run_dir / kReportName;
  check(std::filesystem::is_directory(run_dir), Exit::kFile,
        "expected a run folder at {}, found no folder", run_dir.string());
  check(std::filesystem::exists(file), Exit::kFile,
        "expected {} of a finished run, found none: the run is still going, or was killed before "
        "its report",
        file.string());
  return from_json(io::read_file(file, "a run's report"), file.string());
}

}  // namespace trireme::report
