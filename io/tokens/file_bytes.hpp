#pragma once
// Read-only bytes of a file: by pread (tokens) or mapped (document boundaries).

#include <cstddef>
#include <cstdint>
#include <string>

namespace trireme::io {

/// An open file. Reads are thread-safe. Errors are Exit::kFile and name the file.
class FileBytes {
 public:
  explicit FileBytes(std::string path);
  ~FileBytes();
  FileBytes(FileBytes&& other) noexcept;
  FileBytes& operator=(FileBytes&&) = delete;

  const std::string& path() const { return path_; }
  std::int64_t size() const { return size_; }
  /// Exactly `bytes` bytes from `offset`; the file's end before that is an error.
  void read(std::int64_t offset, void* out, std::int64_t bytes) const;
  int descriptor() const { return descriptor_; }

 private:
  std::string path_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
};

/// Part of a file mapped into memory, shared by all processes of a node that map it.
class MappedBytes {
 public:
  /// Bytes [offset, offset + bytes) of the file, which must hold them; any alignment.
  MappedBytes(const FileBytes& file, std::int64_t offset, std::int64_t bytes);
  ~MappedBytes();
  MappedBytes(const MappedBytes&) = delete;
  MappedBytes& operator=(const MappedBytes&) = delete;

  const std::byte* data() const { return data_; }

 private:
  void* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  const std::byte* data_ = nullptr;
};

}  // namespace trireme::io
