// Encoding: special tokens, then words, then merges in the order of their ranks.

#include "io/text/tokenizer.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>

namespace trireme::io {
namespace {

constexpr std::size_t kCachedWords = 1 << 17;
constexpr std::size_t kLongestCached = 64;  ///< bytes; longer words hardly ever come again
/// Below this many symbols a scan for the best pair beats a heap.
constexpr std::size_t kLongWord = 64;

}  // namespace

void Encoder::encode(std::string_view text, std::vector<std::uint32_t>& ids) {
  const auto& specials = tokenizer_.specials_;
  next_special_.assign(specials.size(), 0);
  for (std::size_t i = 0; i < specials.size(); ++i) next_special_[i] = text.find(specials[i].text);
  for (std::size_t begin = 0;;) {
    // The leftmost special token, among those the longest.
    std::size_t at = text.size();
    std::size_t found = specials.size();
    for (std::size_t i = 0; i < specials.size(); ++i) {
      if (next_special_[i] < begin) next_special_[i] = text.find(specials[i].text, begin);
      const bool longer = found < specials.size() && next_special_[i] == at &&
                          specials[i].text.size() > specials[found].text.size();
      if (next_special_[i] < at || longer) {
        at = next_special_[i];
        found = i;
      }
    }
    encode_words(text.substr(begin, at - begin), ids);
    if (found == specials.size()) return;
    ids.push_back(specials[found].id);
    begin = at + specials[found].text.size();
  }
}

void Encoder::encode_words(std::string_view text, std::vector<std::uint32_t>& ids) {
  splitter_.split(text, [&](std::string_view word) {
    if (word.size() > kLongestCached) {
      merge_word(word);
      ids.insert(ids.end(), symbols_.begin(), symbols_.end());
      return;
    }
    if (cache_.size() >= kCachedWords) {
      cache_.clear();
      cached_ids_.clear();
    }
    const auto [entry, fresh] = cache_.try_emplace(std::string(word));
    if (fresh) {
      merge_word(word);
      entry->second = {cached_ids_.size(), symbols_.size()};
      cached_ids_.insert(cached_ids_.end(), symbols_.begin(), symbols_.end());
    }
    const auto first = cached_ids_.begin() + static_cast<std::ptrdiff_t>(entry->second.first);
    ids.insert(ids.end(), first, first + static_cast<std::ptrdiff_t>(entry->second.count));
  });
}

void Encoder::merge_word(std::string_view word) {
  symbols_.clear();
  for (const char c : word) symbols_.push_back(tokenizer_.byte_ids_[static_cast<unsigned char>(c)]);
  if (symbols_.size() > kLongWord) return merge_long_word();

  while (symbols_.size() > 1) {
    std::int64_t best = std::numeric_limits<std::int64_t>::max();
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols_.size(); ++i) {
      const std::int64_t* rank = tokenizer_.ranks_.find(pair_key(symbols_[i], symbols_[i + 1]));
      if (rank != nullptr && *rank < best) {
        best = *rank;
        at = i;
      }
    }
    if (best == std::numeric_limits<std::int64_t>::max()) return;
    symbols_[at] = tokenizer_.merges_[static_cast<std::size_t>(best)].joined;
    symbols_.erase(symbols_.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

/// The same merges in the same order (rank, then place) by a heap of candidates over a linked list:
/// n log n instead of n^2. A candidate whose pair has changed meanwhile is stale and is dropped.
void Encoder::merge_long_word() {
  constexpr std::size_t kGone = std::numeric_limits<std::size_t>::max();
  const std::size_t size = symbols_.size();
  std::vector<std::size_t> next(size);
  std::vector<std::size_t> previous(size);
  for (std::size_t i = 0; i < size; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  struct Candidate {
    std::int64_t rank;
    std::size_t at;
    auto operator<=>(const Candidate&) const = default;
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto rank_at = [&](std::size_t i) -> const std::int64_t* {
    if (next[i] >= size) return nullptr;
    return tokenizer_.ranks_.find(pair_key(symbols_[i], symbols_[next[i]]));
  };
  const auto add = [&](std::size_t i) {
    if (const std::int64_t* rank = rank_at(i)) candidates.push({*rank, i});
  };
  for (std::size_t i = 0; i < size; ++i) add(i);
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    const std::int64_t* rank = next[best.at] == kGone ? nullptr : rank_at(best.at);
    if (rank == nullptr || *rank != best.rank) continue;
    const std::size_t right = next[best.at];
    symbols_[best.at] = tokenizer_.merges_[static_cast<std::size_t>(best.rank)].joined;
    next[best.at] = next[right];
    if (next[right] < size) previous[next[right]] = best.at;
    next[right] = kGone;
    if (previous[best.at] < size) add(previous[best.at]);
    add(best.at);
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size; ++i)
    if (next[i] != kGone) symbols_[kept++] = symbols_[i];
  symbols_.resize(kept);
}

}  // namespace trireme::io
