// Opens token files: our HDF5 shard and the choice of format. Foreign formats: foreign.cpp.

#include "io/tokens/formats.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <filesystem>

namespace trireme::io {
namespace {

class OneDocument : public DocumentIndex {
 public:
  explicit OneDocument(std::int64_t tokens) : tokens_(tokens) {}
  std::int64_t count() const override { return 1; }
  std::int64_t begin(std::int64_t d) const override { return d == 0 ? 0 : tokens_; }

 private:
  std::int64_t tokens_;
};

class MappedDocuments : public DocumentIndex {
 public:
  MappedDocuments(const FileBytes& file, std::int64_t offset, std::int64_t count)
      : bytes_(file, offset, (count + 1) * 8), count_(count) {}
  std::int64_t count() const override { return count_; }
  std::int64_t begin(std::int64_t d) const override {
    std::int64_t value = 0;  // the place in the file need not be aligned
    std::memcpy(&value, bytes_.data() + 8 * d, 8);
    return value;
  }

 private:
  MappedBytes bytes_;
  std::int64_t count_;
};

bool is_hdf5(const FileBytes& file) {
  constexpr std::array<unsigned char, 8> kSignature{0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  std::array<unsigned char, 8> start{};
  if (file.size() < 8) return false;
  file.read(0, start.data(), 8);
  return start == kSignature;
}

std::string optional_text(const Hdf5File& file, const char* name) {
  return file.has_attribute("/", name) ? file.string_attribute("/", name) : std::string();
}

/// The data part of Megatron's pair and its index, when `path` is either or their prefix.
struct Pair {
  std::string data;
  std::string index;
};
Pair megatron_pair(const std::string& path) {
  const std::filesystem::path given(path);
  const bool named = given.extension() == ".bin" || given.extension() == ".idx";
  const std::string prefix = named ? (given.parent_path() / given.stem()).string() : path;
  return {prefix + ".bin", prefix + ".idx"};
}

}  // namespace

std::unique_ptr<DocumentIndex> one_document(std::int64_t tokens) {
  return std::make_unique<OneDocument>(tokens);
}

std::unique_ptr<DocumentIndex> mapped_documents(const FileBytes& file, std::int64_t offset,
                                                std::int64_t count) {
  return std::make_unique<MappedDocuments>(file, offset, count);
}

TokenSource::Layout read_shard_layout(const FileBytes& bytes) {
  const Hdf5File file(bytes.path(), Hdf5File::Mode::read);
  check(
      file.has_attribute("/", "format") && file.string_attribute("/", "format") == "trireme/tokens",
      Exit::kFile,
      "'{}' is an HDF5 file but no token shard: expected the attribute format = "
      "\"trireme/tokens\"; make one with trireme-data tokenize",
      bytes.path());
  const std::int64_t version = file.int_attribute("/", "format_version");
  check(version == 1, Exit::kFile,
        "token shard '{}' has format version {}, expected 1: it needs a newer Trireme",
        bytes.path(), version);
  TokenSource::Layout layout;
  const DatasetInfo info = file.info("/tokens");
  check(info.dtype == DType::u16 || info.dtype == DType::u32, Exit::kFile,
        "token shard '{}': expected /tokens of u16 or u32, found {}: make it again with "
        "trireme-data tokenize",
        bytes.path(), name_of(info.dtype));
  layout.dtype = info.dtype;
  layout.tokens = info.shape[0];
  layout.pieces = storage_of(file, "/tokens");

  const DatasetInfo documents = file.info("/documents");
  const std::vector<FilePiece> where = storage_of(file, "/documents");
  check(documents.dtype == DType::i64 && where.size() == 1 && where[0].elements >= 2, Exit::kFile,
        "token shard '{}': expected /documents as two or more contiguous i64 boundaries, found {} "
        "{}",
        bytes.path(), name_of(documents.dtype), documents.shape.text());
  layout.documents = mapped_documents(bytes, where[0].offset, where[0].elements - 1);

  Provenance& from = layout.provenance;
  from.format = "trireme";
  from.tokenizer_hash = optional_text(file, "tokenizer_hash");
  from.sources = optional_text(file, "sources");
  from.command = optional_text(file, "command");
  from.version = optional_text(file, "version");
  from.checksum = optional_text(file, "checksum");
  from.vocabulary_size = file.int_attribute("/", "vocabulary_size");
  if (file.has_attribute("/", "eos_id")) from.eos_id = file.int_attribute("/", "eos_id");
  return layout;
}

std::shared_ptr<const TokenSource> open_tokens(const std::string& path, std::int64_t vocabulary) {
  const auto make = [&](FileBytes file, TokenSource::Layout layout) {
    return std::make_shared<const TokenSource>(std::move(file), std::move(layout), vocabulary);
  };
  const Pair pair = megatron_pair(path);
  std::error_code ignored;
  const bool indexed =
      std::filesystem::exists(pair.data, ignored) && std::filesystem::exists(pair.index, ignored);
  const bool present = std::filesystem::exists(path, ignored);
  check(present || indexed, Exit::kFile,
        "expected a token file '{}', found nothing there: check the path, or make it with "
        "trireme-data tokenize",
        path);
  if (present && path != pair.index) {
    FileBytes file(path);
    check(file.size() > 0, Exit::kFile,
          "token file '{}' is empty (0 bytes): make it again with trireme-data tokenize", path);
    if (is_hdf5(file)) {
      auto layout = read_shard_layout(file);
      return make(std::move(file), std::move(layout));
    }
    if (is_llmc(file)) {
      auto layout = read_llmc_layout(file);
      return make(std::move(file), std::move(layout));
    }
  }
  check(indexed, Exit::kFile,
        "'{}' is no token file: expected an HDF5 shard of trireme-data tokenize, llm.c's .bin "
        "(magic 20240520), or Megatron's .bin with an .idx beside it",
        path);
  FileBytes file(pair.data);
  auto layout = read_megatron_layout(file, FileBytes(pair.index));
  return make(std::move(file), std::move(layout));
}

}  // namespace trireme::io
