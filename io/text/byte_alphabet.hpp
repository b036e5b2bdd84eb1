#pragma once
// GPT-2's printable alphabet for bytes: each of the 256 bytes stands as one Unicode character, so
// that vocabularies of byte strings can be written as JSON text (' ' is written as U+0120 "Ġ").

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace trireme::io {

/// Code points of the bytes 0..255: printable Latin-1 stays, the other 68 follow from U+0100.
const std::array<char32_t, 256>& byte_alphabet();

/// Bytes as text in that alphabet (UTF-8), and back; nothing when the text has other characters.
std::string printable_from_bytes(std::string_view bytes);
std::optional<std::string> bytes_from_printable(std::string_view printable);

}  // namespace trireme::io
