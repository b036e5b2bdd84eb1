#pragma once
// Parts of a file at any place and of any length, moved in whole blocks past the page cache by
// threads of their own while the caller does something else.
//
//   io::aio::PartsWriter writer(file);
//   for (...) { writer.write(part, memory); ... }  // memory is the caller's again at once
//   writer.finish();
//
// Whole blocks wait in windows: a few buffers of kWindowBytes each. What is less than a block at a
// part's ends, and parts too short to be worth it, go through the page cache. Ranks and threads may
// write neighbouring parts of one file at a time: nobody touches a byte outside its parts. For one
// thread each. Errors are Exit::kFile, from the call that meets them or a later one.

#include "io/aio/engine.hpp"
#include "io/aio/pool.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace trireme::io::aio {

inline constexpr std::int64_t kWindowBytes = std::int64_t{2} << 20;
inline constexpr std::int64_t kWindows = 6;

/// `rows` runs of `bytes` each; the first begins at `offset` of the file, the others `stride`
/// behind the one before. In memory they are dense.
struct FilePart {
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
  std::int64_t rows = 1;
  std::int64_t stride = 0;
};

/// A buffer and the bytes of the file [begin, end) that it stands for; begin is a multiple of
/// kAlignment and lies at the buffer's start.
struct Window {
  std::span<std::byte> memory;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::optional<Transfer> transfer;  ///< in flight

  std::byte* at(std::int64_t offset) const { return memory.data() + (offset - begin); }
};

class PartsWriter {
 public:
  /// `file` has its length already and outlives the writer.
  explicit PartsWriter(NamedFile& file);

  /// Takes `from` [part.rows][part.bytes] over, dense.
  void write(const FilePart& part, const std::byte* from);
  /// Everything is with the file system behind it; not yet synced.
  void finish();

 private:
  void open(std::int64_t offset);
  void flush();

  NamedFile& file_;
  Pool pool_{kWindows, kWindowBytes};
  Engine engine_;
  std::optional<Window> filling_;
  std::int64_t first_ = 0;  // what is filled begins here
  std::deque<Window> writing_;
};

/// Deals parts to windows in the order of the parts; whoever asks gets the same windows.
class Dealing {
 public:
  explicit Dealing(const std::vector<FilePart>& parts) : parts_(parts) {}

  /// Bytes [offset, offset + bytes) of the file, all in one window.
  struct Piece {
    std::int64_t offset = 0;
    std::int64_t bytes = 0;
    bool opens = false;  ///< the first one of a window
  };
  std::optional<Piece> next();

 private:
  const std::vector<FilePart>& parts_;
  std::size_t part_ = 0;
  std::int64_t row_ = 0;
  std::int64_t in_row_ = 0;
  std::int64_t end_ = 0;    // of the last piece
  std::int64_t limit_ = 0;  // of its window; 0: there is none yet
};

class PartsReader {
 public:
  /// Reads ahead in the order of `parts`. `file` outlives the reader.
  PartsReader(NamedFile& file, std::vector<FilePart> parts);
  PartsReader(const PartsReader&) = delete;
  PartsReader& operator=(const PartsReader&) = delete;

  /// The next part to `to` [rows][bytes], dense; one more than there are is a bug report.
  void read(std::byte* to);

 private:
  void read_ahead();
  void start(Window& window);

  NamedFile& file_;
  std::vector<FilePart> parts_;
  std::size_t next_ = 0;
  Dealing ahead_;
  std::optional<Dealing::Piece> opens_next_;  // dealt, and begins the next window to start
  Dealing copied_;
  Pool pool_{kWindows, kWindowBytes};
  Engine engine_;
  std::deque<Window> windows_;  // the first one is being copied out
  bool copying_ = false;
};

}  // namespace trireme::io::aio
