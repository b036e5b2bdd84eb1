#include "io/text/documents.hpp"

#include "io/text/splitter.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>

namespace trireme::io {
namespace {

constexpr std::size_t kBatchBytes = 1 << 20;

bool is_json_lines(const std::string& file) {
  return file.ends_with(".jsonl") || file.ends_with(".ndjson");
}

/// Takes the first line (without its end) off `rest`.
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

bool is_separator(std::string_view line, const std::string& separator) {
  return separator.empty() ? is_blank(line) : line == separator;
}

void use_json_line(std::string_view line, const std::string& key, const std::string& where,
                   const std::function<void(std::string_view)>& use) {
  // The parser checks UTF-8 itself but does not say where, so that is said first.
  expect_utf8(line, where);
  const auto object = nlohmann::json::parse(line, nullptr, false);
  check(object.is_object(), Exit::kFile, "{}: expected a JSON object, found: {}", where,
        line.substr(0, 60));
  const auto text = object.find(key);
  check(text != object.end() && text->is_string(), Exit::kFile,
        "{}: expected a string \"{}\" in the object: name the right member with --key", where, key);
  const auto& document = text->get_ref<const std::string&>();
  if (!document.empty()) use(document);
}

}  // namespace

BatchReader::BatchReader(std::vector<std::string> files, DocumentOptions options)
    : files_(std::move(files)), options_(std::move(options)) {
  for (const std::string& file : files_) {
    std::error_code error;
    const bool regular = std::filesystem::is_regular_file(file, error);
    check(regular && std::ifstream(file).good(), Exit::kFile,
          "can't read the text file '{}': check the path and its permissions", file);
    bytes_total_ += static_cast<std::int64_t>(std::filesystem::file_size(file));
  }
}

bool BatchReader::open_next() {
  if (next_file_ == files_.size()) return false;
  in_ = std::ifstream(files_[next_file_], std::ios::binary);
  check(in_.good(), Exit::kFile, "can't read the text file '{}'", files_[next_file_]);
  ++next_file_;
  line_ = 1;
  return true;
}

bool BatchReader::ends_document(std::string_view line) const {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return is_json_lines(files_[next_file_ - 1]) ||
         (options_.separator && is_separator(line, *options_.separator));
}

bool BatchReader::next(TextBatch& batch) {
  while (!in_.is_open() || in_.peek() == std::ifstream::traits_type::eof()) {
    if (in_.is_open())
      check(!in_.bad(), Exit::kFile, "reading '{}' failed", files_[next_file_ - 1]);
    if (!open_next()) return false;
  }
  batch.file = files_[next_file_ - 1];
  batch.json_lines = is_json_lines(batch.file);
  batch.first_line = line_;
  batch.bytes.clear();
  std::string line;
  while (std::getline(in_, line)) {
    batch.bytes += line;
    if (!in_.eof()) batch.bytes += '\n';
    ++line_;
    if (batch.bytes.size() >= kBatchBytes && ends_document(line)) break;
  }
  check(!in_.bad(), Exit::kFile, "reading '{}' failed at line {}", batch.file, line_);
  bytes_read_ += static_cast<std::int64_t>(batch.bytes.size());
  return true;
}

void for_each_document(const TextBatch& batch, const DocumentOptions& options,
                       const std::function<void(std::string_view)>& use) {
  std::string_view rest = batch.bytes;
  if (batch.json_lines) {
    for (std::int64_t number = batch.first_line; !rest.empty(); ++number) {
      const std::string_view line = take_line(rest);
      if (!is_blank(line))
        use_json_line(line, options.key, fmt::format("file '{}', line {}", batch.file, number),
                      use);
    }
    return;
  }
  expect_utf8(rest, fmt::format("file '{}', from line {}", batch.file, batch.first_line));
  if (!options.separator) {
    if (!rest.empty()) use(rest);
    return;
  }
  const char* begin = rest.data();
  const char* end = begin;  // of the document's last line, its line end included
  const auto finish = [&] {
    const std::string_view document(begin, static_cast<std::size_t>(end - begin));
    if (!is_blank(document)) use(document);
  };
  while (!rest.empty()) {
    const bool between = is_separator(take_line(rest), *options.separator);
    if (between) finish();
    end = rest.data();
    if (between) begin = end;
  }
  finish();
}

}  // namespace trireme::io
