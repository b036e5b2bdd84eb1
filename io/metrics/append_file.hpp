#pragma once
// A file that grows by whole records.

#include <filesystem>
#include <string_view>

namespace trireme::io {

/// Owned by one process. A record is one write() to the kernel: it survives a kill of the process
/// at any moment; sync() makes it survive the machine. Appending allocates nothing.
class AppendFile {
 public:
  /// Opens or creates. Error(kFile).
  explicit AppendFile(std::filesystem::path path);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();

  /// When the disk is full the file is cut back to whole records and Error(kFile) is thrown.
  void append(std::string_view record);

  /// Returns when all records are on the disk.
  void sync();

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace trireme::io
