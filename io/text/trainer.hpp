#pragma once
// Training of byte-level BPE. Same text, same result, whatever the number of threads; the result is
// that of Hugging Face's BpeTrainer with initial_alphabet = ByteLevel.alphabet(), ties included:
// the most frequent pair first, among equals the one with the smaller ids.

#include "io/text/splitter.hpp"
#include "io/text/tokenizer.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trireme::io {

/// How often each word occurs. One a thread; merge() joins them.
class WordCounter {
 public:
  /// Counts the words of one document (valid UTF-8).
  void add(std::string_view document);
  void merge(WordCounter&& other);
  const std::unordered_map<std::string, std::int64_t>& counts() const { return counts_; }

 private:
  Splitter splitter_;
  std::unordered_map<std::string, std::int64_t> counts_;
};

struct TrainingOptions {
  std::int64_t vocabulary_size = 0;    ///< special tokens and the 256 bytes included
  std::int64_t minimum_frequency = 0;  ///< pairs rarer than this are not merged
  std::vector<std::string> specials;   ///< get the ids 0, 1, ...
};

/// Ids: special tokens, then the bytes by code point of their printable form, then merges. Fewer
/// tokens than asked when the text has no more pairs (compare vocabulary_size()). Errors
/// (Exit::kUsage): a vocabulary too small for specials and bytes.
Tokenizer train_tokenizer(const WordCounter& words, const TrainingOptions& options);

}  // namespace trireme::io
