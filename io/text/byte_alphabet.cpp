#include "io/text/byte_alphabet.hpp"

namespace trireme::io {
namespace {

constexpr char32_t kBeyond = 0x100 + 68;

std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    alphabet[byte] = printable ? byte : next++;
  }
  return alphabet;
}

/// Byte of each code point below kBeyond; -1 where there is none.
std::array<int, kBeyond> make_inverse() {
  std::array<int, kBeyond> inverse;
  inverse.fill(-1);
  for (int byte = 0; byte < 256; ++byte)
    inverse[byte_alphabet()[static_cast<std::size_t>(byte)]] = byte;
  return inverse;
}

}  // namespace

const std::array<char32_t, 256>& byte_alphabet() {
  static const std::array<char32_t, 256> alphabet = make_alphabet();
  return alphabet;
}

std::string printable_from_bytes(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const char32_t point = byte_alphabet()[static_cast<unsigned char>(c)];
    if (point < 0x80) {
      text += static_cast<char>(point);
    } else {
      text += static_cast<char>(0xC0 | point >> 6);
      text += static_cast<char>(0x80 | (point & 0x3F));
    }
  }
  return text;
}

std::optional<std::string> bytes_from_printable(std::string_view printable) {
  static const std::array<int, kBeyond> inverse = make_inverse();
  std::string bytes;
  for (std::size_t i = 0; i < printable.size(); ++i) {
    char32_t point = static_cast<unsigned char>(printable[i]);
    if (point >= 0x80) {
      const bool two = (point & 0xE0) == 0xC0 && i + 1 < printable.size();
      if (!two) return std::nullopt;
      point = (point & 0x1F) << 6 | (static_cast<unsigned char>(printable[++i]) & 0x3F);
    }
    if (point >= kBeyond || inverse[point] < 0) return std::nullopt;
    bytes += static_cast<char>(inverse[point]);
  }
  return bytes;
}

}  // namespace trireme::io
