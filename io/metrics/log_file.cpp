#include "io/metrics/log_file.hpp"

#include "io/metrics/log_lines.hpp"
#include "io/metrics/step_line.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

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
  const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  check(fd >= 0, Exit::kFile, "can't open {} for appending: {}", log.string(),
        std::strerror(errno));
  return LogFile(std::move(log), fd);
}

LogFile::LogFile(LogFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

LogFile& LogFile::operator=(LogFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

LogFile::~LogFile() {
  if (fd_ >= 0) ::close(fd_);
}

void LogFile::write(const StepRecord& record) {
  StepLine line;
  const std::string_view text = format_step(record, line);
  line[text.size()] = '\n';
  append({text.data(), text.size() + 1});
}

void LogFile::write(const LogRecord& record) { append(to_line(record) + "\n"); }

void LogFile::append(std::string_view line) {
  const off_t begin = ::lseek(fd_, 0, SEEK_END);
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int why = n < 0 ? errno : ENOSPC;
      // Whole lines only: a reader must not meet half a record before the next run's lines.
      if (done > 0 && begin >= 0 && ::ftruncate(fd_, begin) != 0) {
        fail(Exit::kFile, "can't append to {}: {}; its last line is torn", path_.string(),
             std::strerror(why));
      }
      fail(Exit::kFile, "can't append {} bytes to {}: {}", line.size(), path_.string(),
           std::strerror(why));
    }
    done += static_cast<std::size_t>(n);
  }
}

void LogFile::sync() {
  check(::fsync(fd_) == 0, Exit::kFile, "can't flush {} to disk: {}", path_.string(),
        std::strerror(errno));
}

}  // namespace trireme::io
