#define PCRE2_CODE_UNIT_WIDTH 8
#include "io/text/splitter.hpp"

#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <pcre2.h>

#include <string>

namespace trireme::io {
namespace {

/// GPT-2's pattern. White space is spelt out: Unicode's White_Space, which PCRE2's \s exceeds by
/// U+180E.
std::string pattern() {
  const std::string space =
      "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
      "\\x{3000}";
  return fmt::format(
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{{L}}+| ?\\p{{N}}+| ?[^{0}\\p{{L}}\\p{{N}}]+|[{0}]+(?![^{0}])|"
      "[{0}]+",
      space);
}

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

struct Splitter::Matcher {
  std::unique_ptr<pcre2_code, Free> code;
  std::unique_ptr<pcre2_match_data, Free> data;
};

Splitter::Splitter() : matcher_(std::make_unique<Matcher>()) {
  const std::string text = pattern();
  int error = 0;
  PCRE2_SIZE at = 0;
  matcher_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                     PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr));
  check(matcher_->code != nullptr, Exit::kUnexpected,
        "PCRE2 refuses the splitting pattern at {} (error {}): it needs Unicode support", at,
        error);
  pcre2_jit_compile(matcher_->code.get(), PCRE2_JIT_COMPLETE);  // without it: slower, not wrong
  matcher_->data.reset(pcre2_match_data_create(1, nullptr));
  check(matcher_->data != nullptr, Exit::kUnexpected, "no memory for matching");
}
Splitter::~Splitter() = default;
Splitter::Splitter(Splitter&&) noexcept = default;
Splitter& Splitter::operator=(Splitter&&) noexcept = default;

std::size_t Splitter::next_end(std::string_view text, std::size_t begin) {
  const int found =
      pcre2_match(matcher_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                  begin, PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, matcher_->data.get(), nullptr);
  // Every character begins some alternative, so a word is always found.
  check(found > 0, Exit::kUnexpected, "splitting text at byte {} failed: PCRE2 error {}", begin,
        found);
  return pcre2_get_ovector_pointer(matcher_->data.get())[1];
}

void expect_utf8(std::string_view text, std::string_view where) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i, std::size_t count) {
    if (i + count >= text.size()) return false;
    for (std::size_t k = 1; k <= count; ++k)
      if ((byte(i + k) & 0xC0) != 0x80) return false;
    return true;
  };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char lead = byte(i);
    std::size_t length = 0;
    if (lead < 0x80) {
      length = 1;
    } else if (lead >= 0xC2 && lead < 0xE0 && follows(i, 1)) {
      length = 2;
    } else if (lead >= 0xE0 && lead < 0xF0 && follows(i, 2)) {
      const bool overlong = lead == 0xE0 && byte(i + 1) < 0xA0;
      const bool surrogate = lead == 0xED && byte(i + 1) >= 0xA0;
      length = overlong || surrogate ? 0 : 3;
    } else if (lead >= 0xF0 && lead < 0xF5 && follows(i, 3)) {
      const bool overlong = lead == 0xF0 && byte(i + 1) < 0x90;
      const bool beyond = lead == 0xF4 && byte(i + 1) >= 0x90;
      length = overlong || beyond ? 0 : 4;
    }
    check(length > 0, Exit::kFile,
          "{}: expected UTF-8, found the byte 0x{:02x} at offset {}: convert the text first, for "
          "instance with iconv",
          where, lead, i);
    i += length;
  }
}

}  // namespace trireme::io
