#pragma once
// `log.jsonl` of a run folder: appended line by line, read back whole.

#include "io/metrics/append_file.hpp"
#include "io/metrics/log_records.hpp"

#include <filesystem>
#include <optional>
#include <string_view>

namespace trireme::io {

inline constexpr char kLogName[] = "log.jsonl";

/// Everything a log holds, by kind, in the file's order. Events of unknown kinds (of a later
/// version) are left out.
struct LogContents {
  std::vector<StepRecord> steps;
  std::vector<EvaluationEvent> evaluations;
  std::vector<CheckpointEvent> checkpoints;
  std::vector<StartEvent> starts;
  std::vector<ResumeEvent> resumes;
  std::vector<WarningEvent> warnings;
  std::vector<StopEvent> stops;
  std::vector<std::size_t> starts_before_stop;  ///< of each stop: it ends the last of these parts
  bool torn = false;  ///< the last line was cut short (a kill or a full disk) and is left out
};

/// Reads a whole log. Error(kFile) when the file can't be read or a line that is not the last one
/// is no record; the message names the line.
LogContents read_log(const std::filesystem::path& file);

/// Writer, owned by one process (rank 0). A line is one write() to the kernel: it survives a kill
/// of the process at any moment; sync() makes it survive the machine.
class LogFile {
 public:
  /// Opens `run_dir`/log.jsonl for appending.
  ///
  /// Without `resume_step` the log must not exist or be empty. With it, the log goes on after that
  /// step: lines of later steps and a torn last line move to `log.<part>.jsonl`, part being the
  /// first number from 1 that is free, so that every step stands once in log.jsonl. A kill in
  /// between loses nothing: the part is complete on disk before the log is replaced.
  /// Errors: Error(kFile).
  static LogFile open(const std::filesystem::path& run_dir,
                      std::optional<std::int64_t> resume_step = std::nullopt);

  /// Appends one line; a step allocates nothing. When the disk is full the file is cut back to
  /// whole lines and Error(kFile) is thrown.
  void write(const StepRecord& record);
  void write(const LogRecord& record);

  /// Returns when all lines are on the disk.
  void sync() { file_.sync(); }

  const std::filesystem::path& path() const { return file_.path(); }

 private:
  explicit LogFile(AppendFile file) : file_(std::move(file)) {}

  AppendFile file_;
};

}  // namespace trireme::io
