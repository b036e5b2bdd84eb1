#pragma once
// Byte-level byte-pair encoding (Sennrich et al., "Neural machine translation of rare words with
// subword units", 2016; bytes as in GPT-2), in the form of Hugging Face's tokenizer.json with a
// ByteLevel pre-tokenizer: the Python package `tokenizers` loads what save() writes and gives the
// same ids.

#include "io/text/pair_table.hpp"
#include "io/text/splitter.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trireme::io {

/// A trained vocabulary. Immutable, shared by threads.
class Tokenizer {
 public:
  /// One merge: the tokens left and right become the token `joined`. Earlier merges go first.
  struct Merge {
    std::uint32_t left;
    std::uint32_t right;
    std::uint32_t joined;
  };
  /// A token that is matched in the text before anything else; its id.
  struct Special {
    std::string text;
    std::uint32_t id;
  };

  /// `tokens[id]` are the bytes of a token (a special token's are its text). All 256 single bytes
  /// must be tokens.
  Tokenizer(std::vector<std::string> tokens, std::vector<Merge> merges,
            std::vector<Special> specials);

  /// Reads tokenizer.json. Errors (Exit::kFile) name what is malformed, or what the file asks for
  /// that is not done here (another model, normalizer, pre-tokenizer, ...).
  static Tokenizer load(const std::string& path);
  /// Writes tokenizer.json as Hugging Face's own writer lays it out.
  void save(const std::string& path) const;

  std::int64_t vocabulary_size() const { return static_cast<std::int64_t>(tokens_.size()); }
  const std::string& token(std::uint32_t id) const { return tokens_[id]; }
  const std::vector<Merge>& merges() const { return merges_; }
  const std::vector<Special>& specials() const { return specials_; }
  std::optional<std::uint32_t> special_id(std::string_view text) const;
  /// XXH3-64 over tokens, merges and special tokens, as 16 hexadecimal digits.
  const std::string& hash() const { return hash_; }

  /// Bytes of the ids, special tokens as their text; not always valid UTF-8 when ids were cut out
  /// of the middle. Exit::kFile on an id outside the vocabulary.
  std::string decode(std::span<const std::uint32_t> ids) const;

 private:
  friend class Encoder;
  std::string make_hash() const;

  std::vector<std::string> tokens_;
  std::vector<Merge> merges_;
  std::vector<Special> specials_;
  std::string hash_;
  std::vector<std::uint32_t> byte_ids_;  ///< id of each single byte
  PairTable ranks_;                      ///< pair of ids -> place in merges_
};

/// Encodes text; one a thread (it owns scratch memory and a cache of words). The tokenizer must
/// live longer.
class Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// Appends the ids of `text` (valid UTF-8) to `ids`. Special tokens found in the text become
  /// their ids, the leftmost and then the longest one first.
  void encode(std::string_view text, std::vector<std::uint32_t>& ids);

 private:
  struct Words {
    std::size_t first;
    std::size_t count;
  };
  void encode_words(std::string_view text, std::vector<std::uint32_t>& ids);
  void merge_word(std::string_view word);
  void merge_long_word();

  const Tokenizer& tokenizer_;
  Splitter splitter_;
  std::vector<std::size_t> next_special_;  ///< place of each special token's next occurrence
  std::vector<std::uint32_t> symbols_;     ///< of the word being merged
  std::unordered_map<std::string, Words> cache_;
  std::vector<std::uint32_t> cached_ids_;
};

}  // namespace trireme::io
