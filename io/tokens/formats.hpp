#pragma once
// Readers of the headers of token files; inside this folder only. Each returns where the tokens
// and documents lie, or fails with Exit::kFile.

#include "io/tokens/source.hpp"

#include <memory>
#include <string>

namespace trireme::io {

/// The one document of a file that knows no boundaries.
std::unique_ptr<DocumentIndex> one_document(std::int64_t tokens);
/// Boundaries as int64 in a part of a file: `count` + 1 of them.
std::unique_ptr<DocumentIndex> mapped_documents(const FileBytes& file, std::int64_t offset,
                                                std::int64_t count);

TokenSource::Layout read_shard_layout(const FileBytes& file);
TokenSource::Layout read_llmc_layout(const FileBytes& file);
/// `file` is the .bin, `index` the .idx.
TokenSource::Layout read_megatron_layout(const FileBytes& file, const FileBytes& index);

/// True when the first bytes are those of llm.c's token files.
bool is_llmc(const FileBytes& file);

}  // namespace trireme::io
