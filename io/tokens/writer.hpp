#pragma once
// Writes a token shard (HDF5), document by document, in bounded memory.
//
// Layout of a shard: /tokens u16 or u32 [tokens], /documents i64 [documents + 1] (first token of
// each document, then the number of tokens), and the attributes of Provenance on "/" with format =
// "trireme/tokens" and format_version = 1. Only the boundaries (8 bytes a document) stay in memory.

#include "io/checksum.hpp"
#include "io/hdf5/file.hpp"
#include "io/tokens/source.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trireme::io {

class TokenWriter {
 public:
  /// Writes to "<path>.part" until finish(). u16 when the vocabulary allows, else u32.
  /// `provenance` needs vocabulary_size; format, version and checksum are filled in here.
  TokenWriter(std::string path, Provenance provenance);
  /// Without finish() the unfinished file is removed.
  ~TokenWriter();
  TokenWriter(const TokenWriter&) = delete;
  TokenWriter& operator=(const TokenWriter&) = delete;

  /// Appends one document; ids must be below the vocabulary (Exit::kUnexpected otherwise).
  void append(std::span<const std::uint32_t> document);
  /// Writes boundaries and attributes and gives the file its name; at least one token is needed.
  void finish();

  std::int64_t tokens() const { return tokens_; }
  std::int64_t documents() const { return static_cast<std::int64_t>(boundaries_.size()) - 1; }

 private:
  void write_buffer();
  std::string part_path() const { return path_ + ".part"; }

  std::string path_;
  Provenance provenance_;
  DType dtype_;
  Hdf5File file_;
  StreamingChecksum checksum_;
  std::vector<std::uint32_t> buffer_;
  std::vector<std::uint16_t> narrow_;
  std::vector<std::int64_t> boundaries_{0};
  std::int64_t tokens_ = 0;
  std::int64_t written_ = 0;
  bool finished_ = false;
};

}  // namespace trireme::io
