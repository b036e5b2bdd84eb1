#include "lib/engine/batches.hpp"

#include <algorithm>
#include <chrono>

namespace trireme::engine {
namespace {

std::vector<io::WeightedSource> open_sources(const deck::Deck& deck) {
  std::vector<io::WeightedSource> sources;
  for (const auto& source : deck.data.sources)
    sources.push_back(
        {io::open_tokens(source.path.string(), deck.model.vocabulary), source.weight});
  return sources;
}

std::vector<std::shared_ptr<const io::TokenSource>> open_validation(const deck::Deck& deck) {
  std::vector<std::shared_ptr<const io::TokenSource>> sources;
  for (const auto& path : deck.data.validation_tokens)
    sources.push_back(io::open_tokens(path.string(), deck.model.vocabulary));
  return sources;
}

io::SampleStreamOptions options_of(const deck::Deck& deck) {
  io::SampleStreamOptions options;
  options.sequence = deck.model.context;
  options.seed = deck.data.seed;
  options.shuffle = deck.data.shuffle;
  options.validation_fraction =
      deck.data.validation_tokens.empty() ? deck.data.validation_fraction : 0;
  return options;
}

}  // namespace

Batches::Batches(const deck::Deck& deck)
    : stream_(open_sources(deck), open_validation(deck), options_of(deck)),
      sequence_(deck.model.context),
      scratch_(static_cast<std::size_t>(deck.batch.micro * (deck.model.context + 1))) {}

LoadBatch Batches::training() {
  return [this](std::int64_t first, const TensorView& tokens, const TensorView& documents) {
    return load(io::Part::training, first, tokens, documents);
  };
}

LoadBatch Batches::validation() {
  return [this](std::int64_t first, const TensorView& tokens, const TensorView& documents) {
    return load(io::Part::validation, first, tokens, documents);
  };
}

std::int64_t Batches::load(io::Part part, std::int64_t first, const TensorView& tokens,
                           const TensorView& documents) {
  const auto begin = std::chrono::steady_clock::now();
  const std::int64_t all = (tokens ? tokens : documents).width() / sequence_;
  std::int64_t count = all;
  if (part == io::Part::validation)
    count = std::clamp<std::int64_t>(validation_limit_ - first, 0, all);
  const auto row = static_cast<std::size_t>(sequence_ + 1);
  const auto used = std::span(scratch_).first(static_cast<std::size_t>(count) * row);

  if (tokens) {
    auto* inputs = tokens.as<std::int32_t>();
    auto* targets = inputs + tokens.width();
    if (count > 0) stream_.fill(part, first, count, used);
    for (std::int64_t s = 0; s < count; ++s) {
      const std::int32_t* from = scratch_.data() + static_cast<std::size_t>(s) * row;
      std::copy_n(from, sequence_, inputs + s * sequence_);
      std::copy_n(from + 1, sequence_, targets + s * sequence_);
    }
    std::fill(inputs + count * sequence_, inputs + all * sequence_, 0);
    std::fill(targets + count * sequence_, targets + all * sequence_, -1);
  }

  if (documents) {
    auto* starts = documents.as<std::int32_t>();
    if (count > 0) stream_.fill_documents(part, first, count, used);
    for (std::int64_t s = 0; s < count; ++s) {
      const std::int32_t* numbers = scratch_.data() + static_cast<std::size_t>(s) * row;
      std::int32_t start = 0;
      for (std::int64_t i = 0; i < sequence_; ++i) {
        if (i > 0 && numbers[i] != numbers[i - 1]) start = static_cast<std::int32_t>(i);
        starts[s * sequence_ + i] = start;
      }
    }
    std::fill(starts + count * sequence_, starts + all * sequence_, 0);
  }

  const auto spent = std::chrono::steady_clock::now() - begin;
  counts_.bytes += count * static_cast<std::int64_t>(row * sizeof(std::uint16_t));
  counts_.calls += 1;
  counts_.nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count();
  return count * sequence_;
}

}  // namespace trireme::engine
