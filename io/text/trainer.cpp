#include "io/text/trainer.hpp"

#include "io/text/byte_alphabet.hpp"
#include "kernels/base/error.hpp"

#include <algorithm>
#include <numeric>
#include <queue>
#include <utility>

namespace trireme::io {
namespace {

/// The distinct words as sequences of ids, in one array: a merge shortens a word in place.
class Corpus {
 public:
  Corpus(const WordCounter& words, const std::vector<std::uint32_t>& byte_ids) {
    std::vector<const std::pair<const std::string, std::int64_t>*> sorted;
    for (const auto& entry : words.counts()) sorted.push_back(&entry);
    std::sort(sorted.begin(), sorted.end(),
              [](const auto* a, const auto* b) { return a->first < b->first; });
    for (const auto* entry : sorted) {
      words_.push_back({symbols_.size(), entry->first.size(), entry->second});
      for (const char c : entry->first) symbols_.push_back(byte_ids[static_cast<unsigned char>(c)]);
    }
  }

  std::size_t words() const { return words_.size(); }
  std::int64_t count(std::size_t word) const { return words_[word].count; }
  std::span<const std::uint32_t> symbols(std::size_t word) const {
    return {symbols_.data() + words_[word].first, words_[word].length};
  }

  /// Replaces each left, right in a word by joined; reports the pairs that vanish (-1) and appear
  /// (+1) beside it, each with the neighbours of that moment.
  template <class Report>
  void merge(std::size_t word, const Tokenizer::Merge& merge, const Report& report) {
    std::uint32_t* symbols = symbols_.data() + words_[word].first;
    const std::size_t length = words_[word].length;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < length; ++i) {
      const bool here = symbols[i] == merge.left && i + 1 < length && symbols[i + 1] == merge.right;
      if (here) {
        if (kept > 0) {
          report(symbols[kept - 1], merge.left, -1);
          report(symbols[kept - 1], merge.joined, 1);
        }
        ++i;
        if (i + 1 < length) {
          report(merge.right, symbols[i + 1], -1);
          report(merge.joined, symbols[i + 1], 1);
        }
        symbols[kept++] = merge.joined;
      } else {
        symbols[kept++] = symbols[i];
      }
    }
    words_[word].length = kept;
  }

 private:
  struct Word {
    std::size_t first;
    std::size_t length;
    std::int64_t count;
  };
  std::vector<Word> words_;
  std::vector<std::uint32_t> symbols_;
};

/// Lists of words by pair, gathered word after word.
class Places {
 public:
  void add(std::uint64_t pair, std::uint32_t word) {
    std::int64_t& number = index_[pair];
    if (number == 0) {
      lists_.emplace_back();
      number = static_cast<std::int64_t>(lists_.size());
    }
    auto& list = lists_[static_cast<std::size_t>(number - 1)];
    if (list.empty() || list.back() != word) list.push_back(word);
  }
  /// Calls take(pair, list) for each pair; the lists are given away.
  template <class Take>
  void drain(const Take& take) {
    index_.for_each([&](std::uint64_t pair, std::int64_t number) {
      take(pair, std::move(lists_[static_cast<std::size_t>(number - 1)]));
    });
  }

 private:
  PairTable index_;
  std::vector<std::vector<std::uint32_t>> lists_;
};

struct Candidate {
  std::uint64_t pair;
  std::int64_t count;
  std::vector<std::uint32_t> words;

  /// Order of the queue: the top is the most frequent pair, among equals the smallest.
  friend bool operator<(const Candidate& a, const Candidate& b) {
    return a.count != b.count ? a.count < b.count : a.pair > b.pair;
  }
};

class Merger {
 public:
  Merger(Corpus corpus, std::vector<std::string> tokens) : corpus_(std::move(corpus)) {
    for (std::string& token : tokens) id_of(token);
    Places places;
    for (std::size_t word = 0; word < corpus_.words(); ++word) {
      const auto symbols = corpus_.symbols(word);
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        const std::uint64_t pair = pair_key(symbols[i], symbols[i + 1]);
        counts_[pair] += corpus_.count(word);
        places.add(pair, static_cast<std::uint32_t>(word));
      }
    }
    enqueue(places);
  }

  void run(std::int64_t vocabulary, std::int64_t minimum) {
    while (std::ssize(tokens_) < vocabulary && !queue_.empty()) {
      Candidate top = take_top();
      // Counts only sink after a pair was queued, except where two merges spell the same token.
      if (const std::int64_t now = counts_[top.pair]; top.count != now) {
        top.count = now;
        push(std::move(top));
        continue;
      }
      if (top.count < 1 || top.count < minimum) break;
      apply(top);
    }
  }

  std::vector<std::string> tokens() && { return std::move(tokens_); }
  /// A pair that was merged twice keeps its later place only, as in the file's form.
  std::vector<Tokenizer::Merge> merges() const {
    PairTable last;
    for (std::size_t i = 0; i < merges_.size(); ++i)
      last[pair_key(merges_[i].left, merges_[i].right)] = static_cast<std::int64_t>(i);
    std::vector<Tokenizer::Merge> kept;
    for (std::size_t i = 0; i < merges_.size(); ++i)
      if (*last.find(pair_key(merges_[i].left, merges_[i].right)) == static_cast<std::int64_t>(i))
        kept.push_back(merges_[i]);
    return kept;
  }

 private:
  std::uint32_t id_of(const std::string& token) {
    const auto [entry, fresh] = ids_.try_emplace(token, static_cast<std::uint32_t>(tokens_.size()));
    if (fresh) tokens_.push_back(token);
    return entry->second;
  }

  void apply(const Candidate& top) {
    const auto left = static_cast<std::uint32_t>(top.pair >> 32);
    const auto right = static_cast<std::uint32_t>(top.pair);
    const Tokenizer::Merge merge{left, right, id_of(tokens_[left] + tokens_[right])};
    merges_.push_back(merge);
    Places places;
    for (const std::uint32_t word : top.words)
      corpus_.merge(word, merge, [&](std::uint32_t a, std::uint32_t b, std::int64_t change) {
        const std::uint64_t pair = pair_key(a, b);
        counts_[pair] += change * corpus_.count(word);
        if (change > 0) places.add(pair, word);
      });
    enqueue(places);
  }

  void enqueue(Places& places) {
    places.drain([&](std::uint64_t pair, std::vector<std::uint32_t> words) {
      const std::int64_t count = counts_[pair];
      if (count > 0) push({pair, count, std::move(words)});
    });
  }

  void push(Candidate candidate) {
    queue_.push_back(std::move(candidate));
    std::push_heap(queue_.begin(), queue_.end());
  }
  Candidate take_top() {
    std::pop_heap(queue_.begin(), queue_.end());
    Candidate top = std::move(queue_.back());
    queue_.pop_back();
    return top;
  }

  Corpus corpus_;
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::uint32_t> ids_;
  PairTable counts_;
  std::vector<Candidate> queue_;  ///< a heap
  std::vector<Tokenizer::Merge> merges_;
};

}  // namespace

void WordCounter::add(std::string_view document) {
  splitter_.split(document, [this](std::string_view word) { ++counts_[std::string(word)]; });
}

void WordCounter::merge(WordCounter&& other) {
  if (counts_.size() < other.counts_.size()) counts_.swap(other.counts_);
  for (auto& [word, count] : other.counts_) counts_[word] += count;
  other.counts_.clear();
}

Tokenizer train_tokenizer(const WordCounter& words, const TrainingOptions& options) {
  const std::int64_t least = std::ssize(options.specials) + 256;
  check(options.vocabulary_size >= least, Exit::kUsage,
        "expected a vocabulary of at least {} (256 bytes and {} special tokens), found {}", least,
        options.specials.size(), options.vocabulary_size);
  std::vector<std::string> tokens = options.specials;
  std::vector<Tokenizer::Special> specials;
  for (std::uint32_t id = 0; id < tokens.size(); ++id) specials.push_back({tokens[id], id});

  std::vector<std::uint32_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), 0u);
  std::sort(bytes.begin(), bytes.end(), [](std::uint32_t a, std::uint32_t b) {
    return byte_alphabet()[a] < byte_alphabet()[b];
  });
  std::vector<std::uint32_t> byte_ids(256);
  for (const std::uint32_t byte : bytes) {
    byte_ids[byte] = static_cast<std::uint32_t>(tokens.size());
    tokens.emplace_back(1, static_cast<char>(byte));
  }
  Merger merger(Corpus(words, byte_ids), std::move(tokens));
  merger.run(options.vocabulary_size, options.minimum_frequency);
  auto merges = merger.merges();
  return Tokenizer(std::move(merger).tokens(), std::move(merges), std::move(specials));
}

}  // namespace trireme::io
