#include "io/metrics/log_file.hpp"

#include "io/metrics/log_lines.hpp"
#include "io/metrics/step_line.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

/// The first log.<part>.jsonl that does not exist yet.
fs::path next_part(const fs::path& run_dir) {
  for (int part = 1;; ++part) {
    fs::path candidate = run_dir / fmt::format("log.{}.jsonl", part);
    if (!fs::exists(candidate)) return candidate;
  }
}

/// Splits the log at `resume_step` and puts what lies beyond into the next part.
void move_later_lines(const fs::path& run_dir, const fs::path& log, std::int64_t resume_step) {
  std::string kept;
  std::string later;
  for_each_line(log, [&](std::string_view line, std::optional<std::int64_t> step) {
    const bool keep = step && *step <= resume_step;
    (keep ? kept : later).append(line).append("\n");
  });
  if (!later.empty()) write_file_atomically(next_part(run_dir), later);
  if (kept.size() != fs::file_size(log)) write_file_atomically(log, kept);
}

}  // namespace

LogFile LogFile::open(const fs::path& run_dir, std::optional<std::int64_t> resume_step) {
  fs::path log = run_dir / kLogName;
  std::error_code ignored;
  const auto size = fs::file_size(log, ignored);
  const bool there = !ignored && size > 0;
  check(!there || resume_step, Exit::kFile,
        "expected no log yet for a new run, found {}: resume the run or take another run folder",
        log.string());
  if (there) move_later_lines(run_dir, log, *resume_step);
  return LogFile(AppendFile(std::move(log)));
}

void LogFile::write(const StepRecord& record) {
  StepLine line;
  const std::string_view text = format_step(record, line);
  line[text.size()] = '\n';
  file_.append({text.data(), text.size() + 1});
}

void LogFile::write(const LogRecord& record) { file_.append(to_line(record) + "\n"); }

}  // namespace trireme::io
