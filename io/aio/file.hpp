#pragma once
// A file as the engine sees it: a descriptor with a name for messages.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace trireme::io::aio {

/// Must outlive its transfers.
class File {
 public:
  virtual ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int descriptor() const { return descriptor_; }
  std::int64_t bytes() const { return bytes_; }
  /// What messages call it: "file 'runs/a/state.h5'".
  const std::string& name() const { return name_; }
  /// Whether transfers pass the page cache by.
  bool direct() const { return why_buffered_.empty(); }
  /// Why not, for a warning; empty when direct.
  const std::string& why_buffered() const { return why_buffered_; }

  /// The engine's: `data` is about to be written at `offset`. Concurrent calls need disjoint
  /// ranges.
  virtual void remember(std::int64_t, std::span<const std::byte>) {}
  /// The engine's: offset of the first unit whose bytes, as read, are not those written last; -1
  /// when all are, or when nobody can tell.
  virtual std::int64_t first_damaged(std::int64_t, std::span<const std::byte>) const { return -1; }

 protected:
  explicit File(std::string name) : name_(std::move(name)) {}
  /// O_DIRECT for the descriptor, or why_buffered() says why not: it is not wished, the file
  /// system lies in memory or refuses.
  void choose_direct(bool wished);
  /// False, with errno, when the file system refuses.
  bool set_direct(bool direct);
  void close() noexcept;

  std::string name_;
  int descriptor_ = -1;
  std::int64_t bytes_ = 0;
  std::string why_buffered_;
};

/// A file that is there and has its length; that of a run's state, say.
class NamedFile final : public File {
 public:
  enum class Mode : std::uint8_t { read, write };
  /// `direct`: whether to pass the page cache by where that is possible. Exit::kFile.
  NamedFile(const std::filesystem::path& path, Mode mode, bool direct = true);
  ~NamedFile() override;

  // Any offset and length, through the page cache, synchronous; Exit::kFile. Bytes of a page that
  // transfers of the engine move in the same phase must not be touched.
  void read_cached(std::int64_t offset, std::span<std::byte> to) const;
  void write_cached(std::int64_t offset, std::span<const std::byte> from);

 private:
  int cached_ = -1;
};

}  // namespace trireme::io::aio
