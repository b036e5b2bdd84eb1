#pragma once
// Lines of a log one by one, as text: what reading a log and cutting it at a step have in common.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

namespace trireme::io {

/// `line` without its end; no step for a torn last line.
using LineVisitor = std::function<void(std::string_view line, std::optional<std::int64_t> step)>;

/// Calls `visit` for each line in order and returns whether the last one was torn. Error(kFile)
/// when the file can't be read, or a line before the last is no JSON object with a "step".
bool for_each_line(const std::filesystem::path& file, const LineVisitor& visit);

}  // namespace trireme::io
