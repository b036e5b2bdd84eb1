#include "io/tokens/writer.hpp"

#include "io/version.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace trireme::io {
namespace {

constexpr std::int64_t kChunk = 1 << 19;  ///< tokens a chunk and a write

}  // namespace

TokenWriter::TokenWriter(std::string path, Provenance provenance)
    : path_(std::move(path)),
      provenance_(std::move(provenance)),
      dtype_(provenance_.vocabulary_size <= 0x10000 ? DType::u16 : DType::u32),
      file_(part_path(), Hdf5File::Mode::replace) {
  check(provenance_.vocabulary_size > 0, Exit::kUnexpected,
        "a token shard needs the size of its vocabulary");
  file_.create_dataset("/tokens", dtype_, {0}, {.chunk = {kChunk}, .extendable = true});
  buffer_.reserve(kChunk);
}

TokenWriter::~TokenWriter() {
  std::error_code ignored;
  if (!finished_) std::filesystem::remove(part_path(), ignored);
}

void TokenWriter::append(std::span<const std::uint32_t> document) {
  for (const std::uint32_t id : document)
    check(id < provenance_.vocabulary_size, Exit::kUnexpected,
          "document {} has the id {}, the vocabulary is {}", documents(), id,
          provenance_.vocabulary_size);
  tokens_ += static_cast<std::int64_t>(document.size());
  boundaries_.push_back(tokens_);
  while (!document.empty()) {
    const std::size_t room = static_cast<std::size_t>(kChunk) - buffer_.size();
    const auto part = document.first(std::min(room, document.size()));
    buffer_.insert(buffer_.end(), part.begin(), part.end());
    document = document.subspan(part.size());
    if (buffer_.size() == static_cast<std::size_t>(kChunk)) write_buffer();
  }
}

void TokenWriter::write_buffer() {
  if (buffer_.empty()) return;
  const auto count = static_cast<std::int64_t>(buffer_.size());
  const void* data = buffer_.data();
  if (dtype_ == DType::u16) {
    narrow_.resize(buffer_.size());
    std::transform(buffer_.begin(), buffer_.end(), narrow_.begin(),
                   [](std::uint32_t id) { return static_cast<std::uint16_t>(id); });
    data = narrow_.data();
  }
  checksum_.update(data, static_cast<std::size_t>(count) * size_of(dtype_));
  file_.extend("/tokens", written_ + count);
  file_.write("/tokens", {{written_}, {count}}, data, dtype_);
  written_ += count;
  buffer_.clear();
}

void TokenWriter::finish() {
  check(tokens_ > 0, Exit::kFile,
        "nothing to write to '{}': the input held no text; check the input files", path_);
  write_buffer();
  const std::int64_t count = documents() + 1;
  file_.create_dataset("/documents", DType::i64, {count});
  file_.write("/documents", {{0}, {count}}, boundaries_.data(), DType::i64);
  file_.set_attribute("/", "format", "trireme/tokens");
  file_.set_attribute("/", "format_version", 1);
  file_.set_attribute("/", "tokenizer_hash", provenance_.tokenizer_hash);
  file_.set_attribute("/", "sources", provenance_.sources);
  file_.set_attribute("/", "command", provenance_.command);
  file_.set_attribute("/", "version", fmt::format("{} {}", version(), commit()));
  file_.set_attribute("/", "checksum", checksum_text(checksum_.digest()));
  file_.set_attribute("/", "vocabulary_size", provenance_.vocabulary_size);
  if (provenance_.eos_id) file_.set_attribute("/", "eos_id", *provenance_.eos_id);
  file_.close();
  std::error_code error;
  std::filesystem::rename(part_path(), path_, error);
  check(!error, Exit::kFile, "can't give '{}' its name: {}", path_, error.message());
  finished_ = true;
}

}  // namespace trireme::io
