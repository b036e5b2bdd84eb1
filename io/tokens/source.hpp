#pragma once
// A file of tokens, whatever its format: our shard (HDF5), Megatron's .bin with .idx, llm.c's .bin.
//
// Nothing is loaded whole: tokens are read with pread, document boundaries lie in a mapped part of
// the file. All const members are thread-safe and allocate nothing.

#include "io/hdf5/storage.hpp"
#include "io/tokens/file_bytes.hpp"
#include "kernels/base/checked.hpp"
#include "kernels/base/dtype.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace trireme::io {

/// First token of each document.
class DocumentIndex {
 public:
  virtual ~DocumentIndex() = default;
  virtual std::int64_t count() const = 0;
  /// First token of document d; begin(count()) is the number of tokens.
  virtual std::int64_t begin(std::int64_t d) const = 0;
};

/// Where a shard comes from; empty or 0 where a format does not say.
struct Provenance {
  std::string format{};          ///< "trireme", "megatron" or "llm.c"
  std::string tokenizer_hash{};  ///< XXH3-64 of the tokenizer.json
  std::string sources{};         ///< input files, one a line
  std::string command{};
  std::string version{};             ///< of the program that wrote it
  std::string checksum{};            ///< XXH3-64 of all token bytes
  std::int64_t vocabulary_size = 0;  ///< ids are below this
  std::optional<std::int64_t> eos_id{};
};

class TokenSource {
 public:
  /// What a format's reader found. `pieces` cover [0, tokens) in order.
  struct Layout {
    DType dtype = DType::u16;  ///< u16, u32 or i32
    std::int64_t tokens = 0;
    std::vector<FilePiece> pieces;
    std::unique_ptr<DocumentIndex> documents;
    Provenance provenance;
  };

  /// `vocabulary` > 0: ids at or above it are errors when read; 0: what the file itself says.
  TokenSource(FileBytes file, Layout layout, std::int64_t vocabulary);

  const std::string& path() const { return file_.path(); }
  const Provenance& provenance() const { return layout_.provenance; }
  DType dtype() const { return layout_.dtype; }
  std::int64_t tokens() const { return layout_.tokens; }
  /// Every id read is below this.
  std::int64_t vocabulary() const { return vocabulary_; }

  /// A file without boundaries (llm.c) is one document.
  std::int64_t documents() const { return layout_.documents->count(); }
  /// Tokens [begin, end) of document d, its end-of-text token included.
  Range document(std::int64_t d) const;
  /// The document that holds `token`.
  std::int64_t document_of(std::int64_t token) const;

  /// Ids of tokens [begin, begin + out.size()). Errors (Exit::kFile): outside the file; file
  /// shorter than it was; an id out of the vocabulary, named with file and position.
  void read(std::int64_t begin, std::span<std::uint32_t> out) const;

  /// Reads everything and compares with provenance().checksum; Exit::kFile when they differ or
  /// when there is none.
  void verify() const;

 private:
  void read_raw(std::int64_t begin, std::int64_t count, void* out) const;

  FileBytes file_;
  Layout layout_;
  std::int64_t vocabulary_;
};

/// Opens a token file of any known format: HDF5 and llm.c by their first bytes, Megatron by the
/// .idx beside the .bin (either name, or the common prefix). `vocabulary` is the model's: a shard
/// that declares a larger one is an error at once, other ids are checked when read. Errors are
/// Exit::kFile and say file, expected, found and what to do.
std::shared_ptr<const TokenSource> open_tokens(const std::string& path,
                                               std::int64_t vocabulary = 0);

}  // namespace trireme::io
