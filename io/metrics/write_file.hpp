#pragma once
// Small text files that must be whole or not there.

#include <filesystem>
#include <string>
#include <string_view>

namespace trireme::io {

/// Writes `text` to a temporary file beside `file`, flushes it to disk and renames it, so that a
/// reader sees the old file or the new one. One writer per file. Error(kFile); no temporary file
/// is left behind.
void write_file_atomically(const std::filesystem::path& file, std::string_view text);

/// The whole file. Error(kFile) names the file and `expected`, what it was to hold.
std::string read_file(const std::filesystem::path& file, std::string_view expected);

}  // namespace trireme::io
