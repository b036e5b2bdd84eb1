#pragma once
// Documents from text files, in batches that threads can take apart.
//
// A file named *.jsonl or *.ndjson is JSON Lines: each line an object, its member `key` a document;
// blank lines are passed over. Any other file is plain text: one document, or with a separator one
// document between lines that equal the separator ("" = between blank lines). Empty documents are
// passed over. All text must be UTF-8. Errors are Exit::kFile with file, line or byte.

#include <cstdint>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::io {

struct DocumentOptions {
  std::string key = "text";                ///< of JSON Lines
  std::optional<std::string> separator{};  ///< line between documents of plain text
};

/// Some whole documents of one file, not yet taken apart.
struct TextBatch {
  std::string file;
  bool json_lines = false;
  std::int64_t first_line = 1;  ///< number of the batch's first line in its file
  std::string bytes;
};

/// Reads files one after another, in batches of about 1 MiB (one document may be longer). Memory is
/// that of one batch.
class BatchReader {
 public:
  /// Opens every file once, so that a missing one fails at once.
  BatchReader(std::vector<std::string> files, DocumentOptions options);

  /// The next batch; false at the end of the last file.
  bool next(TextBatch& batch);

  std::int64_t bytes_read() const { return bytes_read_; }
  std::int64_t bytes_total() const { return bytes_total_; }

 private:
  bool open_next();
  bool ends_document(std::string_view line) const;

  std::vector<std::string> files_;
  DocumentOptions options_;
  std::size_t next_file_ = 0;
  std::ifstream in_;
  std::int64_t line_ = 1;
  std::int64_t bytes_read_ = 0;
  std::int64_t bytes_total_ = 0;
};

/// Calls use(document) for each document of a batch; the view is valid during the call.
void for_each_document(const TextBatch& batch, const DocumentOptions& options,
                       const std::function<void(std::string_view)>& use);

}  // namespace trireme::io
