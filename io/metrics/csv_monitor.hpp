#pragma once
// CSV files as DeepSpeed's csv_monitor writes them: one a tag, "Train/Samples/train_loss" in
// Train_Samples_train_loss.csv, its head "step,train_loss", lines ended by CR LF (RFC 4180).

#include "io/metrics/append_file.hpp"
#include "io/metrics/scalar.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace trireme::io {

/// Owned by one process.
class CsvMonitor {
 public:
  /// Makes `folder`. Error(kFile).
  explicit CsvMonitor(std::filesystem::path folder);

  /// One line in the file of each tag, numbers with all their bits, "nan" and "inf" as in Python.
  /// The first line of a tag opens its file; further ones allocate nothing. Error(kFile).
  void write(std::int64_t step, std::span<const Scalar> scalars);

  void sync();

 private:
  struct Column {
    std::string tag;
    AppendFile file;
  };
  AppendFile& file_of(std::string_view tag);

  std::filesystem::path folder_;
  std::vector<Column> columns_;
};

/// Removes from the CSV files of `folder` the lines of steps beyond `last_step` and torn ones, by a
/// temporary file and a rename each; none where there is no such folder. Error(kFile).
void cut_csv(const std::filesystem::path& folder, std::int64_t last_step);

}  // namespace trireme::io
