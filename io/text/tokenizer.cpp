#include "io/text/tokenizer.hpp"

#include "io/checksum.hpp"
#include "kernels/base/error.hpp"

#include <algorithm>
#include <limits>

namespace trireme::io {

Tokenizer::Tokenizer(std::vector<std::string> tokens, std::vector<Merge> merges,
                     std::vector<Special> specials)
    : tokens_(std::move(tokens)),
      merges_(std::move(merges)),
      specials_(std::move(specials)),
      byte_ids_(256, std::numeric_limits<std::uint32_t>::max()),
      ranks_(merges_.size()) {
  const auto is_special = [this](std::uint32_t id) {
    return std::any_of(specials_.begin(), specials_.end(),
                       [id](const Special& special) { return special.id == id; });
  };
  for (std::uint32_t id = 0; id < tokens_.size(); ++id)
    if (tokens_[id].size() == 1 && !is_special(id))
      byte_ids_[static_cast<unsigned char>(tokens_[id][0])] = id;
  for (std::size_t byte = 0; byte < 256; ++byte)
    check(byte_ids_[byte] < tokens_.size(), Exit::kFile,
          "expected every single byte to be a token, found none for byte {}: train the tokenizer "
          "with the whole byte alphabet",
          byte);
  for (const Special& special : specials_)
    check(!special.text.empty(), Exit::kUsage, "a special token needs a text, found an empty one");
  for (std::size_t rank = 0; rank < merges_.size(); ++rank)
    ranks_[pair_key(merges_[rank].left, merges_[rank].right)] = static_cast<std::int64_t>(rank);
  hash_ = make_hash();
}

std::optional<std::uint32_t> Tokenizer::special_id(std::string_view text) const {
  for (const Special& special : specials_)
    if (special.text == text) return special.id;
  return std::nullopt;
}

std::string Tokenizer::make_hash() const {
  StreamingChecksum sum;
  const auto add_text = [&](const std::string& text) {
    const std::uint64_t size = text.size();
    sum.update(&size, sizeof size);
    sum.update(text.data(), text.size());
  };
  for (const std::string& token : tokens_) add_text(token);
  sum.update(merges_.data(), merges_.size() * sizeof(Merge));
  for (const Special& special : specials_) {
    add_text(special.text);
    sum.update(&special.id, sizeof special.id);
  }
  return checksum_text(sum.digest());
}

std::string Tokenizer::decode(std::span<const std::uint32_t> ids) const {
  std::string text;
  for (const std::uint32_t id : ids) {
    check(id < tokens_.size(), Exit::kFile,
          "expected token ids below {}, found {}: the tokens were made with another tokenizer",
          tokens_.size(), id);
    text += tokens_[id];
  }
  return text;
}

}  // namespace trireme::io
