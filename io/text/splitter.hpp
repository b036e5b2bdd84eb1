#pragma once
// Cuts text into the words that byte-pair merges never cross, by GPT-2's pattern (Radford et al.,
// "Language models are unsupervised multitask learners", 2019; the same regular expression as the
// "ByteLevel" pre-tokenizer of Hugging Face's tokenizers), matched by PCRE2's just-in-time code.

#include <cstddef>
#include <memory>
#include <string_view>

namespace trireme::io {

/// One a thread: it owns the scratch memory of matching.
class Splitter {
 public:
  Splitter();
  ~Splitter();
  Splitter(Splitter&&) noexcept;
  Splitter& operator=(Splitter&&) noexcept;

  /// Calls word(std::string_view) for each word in order; the words concatenated are the text.
  /// `text` is valid UTF-8 (expect_utf8 says so).
  template <class Function>
  void split(std::string_view text, const Function& word) {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = next_end(text, begin);
      word(text.substr(begin, end - begin));
      begin = end;
    }
  }

 private:
  /// End of the word that begins at `begin`, which lies before text.size().
  std::size_t next_end(std::string_view text, std::size_t begin);

  struct Matcher;
  std::unique_ptr<Matcher> matcher_;
};

/// Throws Exit::kFile unless `text` is valid UTF-8; `where` names it ("file 'x', line 3").
void expect_utf8(std::string_view text, std::string_view where);

}  // namespace trireme::io
