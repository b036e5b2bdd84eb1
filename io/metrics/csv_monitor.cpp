#include "io/metrics/csv_monitor.hpp"

#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

std::string file_name(std::string_view tag) {
  std::string name(tag);
  std::replace(name.begin(), name.end(), '/', '_');
  std::replace(name.begin(), name.end(), ' ', '_');
  return name + ".csv";
}

/// The lines of `text` to keep: the head, and whole ones of steps up to `last_step`.
std::string lines_up_to(std::string_view text, std::int64_t last_step) {
  std::string kept;
  for (bool head = true; !text.empty(); head = false) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(0, end + 1);
    text.remove_prefix(end + 1);
    std::int64_t step = 0;
    const bool number = std::from_chars(line.begin(), line.end(), step).ec == std::errc();
    if (head || (number && step <= last_step)) kept += line;
  }
  return kept;
}

}  // namespace

CsvMonitor::CsvMonitor(fs::path folder) : folder_(std::move(folder)) {
  std::error_code problem;
  fs::create_directories(folder_, problem);
  check(!problem, Exit::kFile, "can't make the folder {} for CSV files: {}", folder_.string(),
        problem.message());
}

AppendFile& CsvMonitor::file_of(std::string_view tag) {
  for (Column& column : columns_)
    if (column.tag == tag) return column.file;
  Column& column =
      columns_.emplace_back(Column{std::string(tag), AppendFile(folder_ / file_name(tag))});
  if (fs::file_size(column.file.path()) == 0)
    column.file.append(fmt::format("step,{}\r\n", tag.substr(tag.rfind('/') + 1)));
  return column.file;
}

void CsvMonitor::write(std::int64_t step, std::span<const Scalar> scalars) {
  std::array<char, 64> line;  // an integer of at most 20 characters, a double of at most 24
  for (const Scalar& scalar : scalars) {
    const char* end = fmt::format_to(line.data(), "{},{}\r\n", step, scalar.value);
    file_of(scalar.tag).append({line.data(), static_cast<std::size_t>(end - line.data())});
  }
}

void CsvMonitor::sync() {
  for (Column& column : columns_) column.file.sync();
}

void cut_csv(const fs::path& folder, std::int64_t last_step) {
  if (!fs::is_directory(folder)) return;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".csv") continue;
    const std::string text = read_file(entry.path(), "a monitor's CSV");
    const std::string kept = lines_up_to(text, last_step);
    if (kept != text) write_file_atomically(entry.path(), kept);
  }
}

}  // namespace trireme::io
