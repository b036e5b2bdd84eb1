#pragma once
// TensorBoard's event files.
//
// A file is a row of records (TFRecord): length as 8 bytes, its masked CRC-32C, that many bytes,
// and their masked CRC-32C, all little endian; mask(c) = rotate_right(c, 15) + 0xa282ead8. The
// bytes are a protobuf message tensorflow.Event; of its fields these are used:
//   Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
//           SessionLog session_log = 7; }
//   Summary { repeated Value value = 1; }    Value { string tag = 1; float simple_value = 2; }
//   SessionLog { SessionStatus status = 1; }  START = 1
// The first event is the version "brain.Event:2". The second one is a START at the first step: a
// TensorBoard that had read events of that step or later, from a part of the run that was
// abandoned, forgets them.

#include "io/metrics/append_file.hpp"
#include "io/metrics/scalar.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trireme::io {

/// CRC-32C (Castagnoli): polynomial 0x1EDC6F41, bits reflected.
std::uint32_t crc32c(std::string_view bytes);

/// Writer of one new file, owned by one process.
class EventFile {
 public:
  /// Makes `folder` and in it events.out.tfevents.<seconds>.<host>.<pid>.<n>, which sorts behind
  /// those of earlier processes. Events that follow have steps of at least `first_step`.
  /// Error(kFile).
  EventFile(const std::filesystem::path& folder, std::int64_t first_step);

  /// All scalars as one event; allocates nothing. At most 64 of tags of at most 64 bytes. Values
  /// become float. Error(kFile).
  void write(std::int64_t step, std::span<const Scalar> scalars);

  void sync() { file_.sync(); }
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  void append(std::span<const char> event);

  AppendFile file_;
  std::array<char, 8192> record_{};
};

struct Event {
  std::int64_t step = 0;
  double wall_time = 0;  ///< seconds since 1970
  std::string version;   ///< of the first event
  bool start = false;    ///< a session's start
  std::vector<std::pair<std::string, float>> scalars;
  std::int64_t end = 0;  ///< offset behind its record in the file
};

/// All whole and undamaged events up to the first one that is not. Error(kFile) when the file can't
/// be read.
std::vector<Event> read_events(const std::filesystem::path& file);

/// The event files of `folder`, in order of their names; none where there is no such folder.
std::vector<std::filesystem::path> event_files(const std::filesystem::path& folder);

/// Cuts the event files of `folder` behind the last event of a step up to `last_step`, torn records
/// included, and removes those without any scalar left. Error(kFile).
void cut_events(const std::filesystem::path& folder, std::int64_t last_step);

}  // namespace trireme::io
