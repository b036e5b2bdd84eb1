#include "io/tokens/sample_stream.hpp"

#include "io/checksum.hpp"
#include "io/tokens/permutation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace trireme::io {

SourceSplit split_source(const TokenSource& source, double fraction) {
  check(fraction >= 0 && fraction < 1, Exit::kUsage,
        "expected a validation fraction of at least 0 and below 1, found {}", fraction);
  const std::int64_t tokens = source.tokens();
  const auto wanted = static_cast<std::int64_t>(std::ceil(fraction * static_cast<double>(tokens)));
  SourceSplit split{{0, tokens}, {tokens, tokens}, source.documents()};
  if (wanted == 0) return split;
  if (source.documents() == 1) {
    split.training.end = split.validation.begin = tokens - wanted;
    split.first_validation_document = 0;
  } else {
    // The last document that begins at or before this token completes the wanted number.
    const std::int64_t first = source.document_of(tokens - wanted);
    split.training.end = split.validation.begin = source.document(first).begin;
    split.first_validation_document = first;
  }
  check(split.training.end > 0, Exit::kUsage,
        "validation takes all {} documents ({} tokens) of '{}' and leaves nothing to train on: "
        "lower the validation fraction ({}) or give validation files of their own",
        source.documents(), tokens, source.path(), fraction);
  return split;
}

SampleStream::SampleStream(std::vector<WeightedSource> sources,
                           std::vector<std::shared_ptr<const TokenSource>> validation,
                           const SampleStreamOptions& options)
    : options_(options) {
  check(options_.sequence > 0, Exit::kUsage, "expected a sequence of at least 1 token, found {}",
        options_.sequence);
  check(!sources.empty(), Exit::kUsage, "expected at least one data source, found none");
  check(validation.empty() || options_.validation_fraction == 0, Exit::kUsage,
        "validation comes either from files of its own or from a fraction of the training files, "
        "not from both");
  const bool by_tokens = std::all_of(sources.begin(), sources.end(),
                                     [](const WeightedSource& s) { return s.weight == 0; });
  for (const WeightedSource& source : sources) {
    const SourceSplit& split =
        splits_.emplace_back(split_source(*source.tokens, options_.validation_fraction));
    const Windows& windows = training_.emplace_back(cut(source.tokens, split.training));
    check(windows.windows > 0, Exit::kUsage,
          "'{}' has {} tokens to train on, one sample needs {}: use a shorter context or more text",
          source.tokens->path(), split.training.size(), sample_tokens());
    if (split.validation.size() > 0) validation_.push_back(cut(source.tokens, split.validation));
    weights_.push_back(by_tokens ? static_cast<double>(split.training.size()) : source.weight);
  }
  for (auto& tokens : validation) {
    const Range all{0, tokens->tokens()};
    validation_.push_back(cut(std::move(tokens), all));
  }
  for (const Windows& windows : validation_) validation_samples_ += windows.windows;
  check(validation_.empty() || validation_samples_ > 0, Exit::kUsage,
        "the validation tokens hold no sample of {} tokens: raise the validation fraction ({})",
        sample_tokens(), options_.validation_fraction);

  blend_ = std::make_unique<const Blend>(weights_, options_.seed);
  const double total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  for (double& weight : weights_) weight /= total;
}

SampleStream::Windows SampleStream::cut(std::shared_ptr<const TokenSource> tokens,
                                        const Range& range) const {
  const std::int64_t targets = std::max<std::int64_t>(range.size() - 1, 0);
  return {std::move(tokens), range.begin, targets / options_.sequence};
}

SampleStream::Place SampleStream::place(Part part, std::int64_t sample) const {
  if (part == Part::validation) {
    auto windows = validation_.begin();
    for (; sample >= windows->windows; ++windows) sample -= windows->windows;
    return {windows->tokens.get(), 0, windows->begin + sample * options_.sequence};
  }
  const auto [source, local] = (*blend_)(sample);
  const Windows& windows = training_[source];
  const std::int64_t epoch = local / windows.windows;
  std::int64_t window = local % windows.windows;
  if (options_.shuffle) {
    // One stream of random numbers for each epoch of each source; stream 0 is the blend's.
    const std::uint64_t stream = 1 + static_cast<std::uint64_t>(epoch) * training_.size() + source;
    window = Permutation(options_.seed, stream, windows.windows)(window);
  }
  return {windows.tokens.get(), epoch, windows.begin + window * options_.sequence};
}

void SampleStream::expect_batch(Part part, std::int64_t begin, std::int64_t count,
                                std::size_t room) const {
  check(begin >= 0 && count >= 0 && room == static_cast<std::size_t>(count * sample_tokens()),
        Exit::kUnexpected, "{} samples of {} tokens from sample {} into room for {} ids", count,
        sample_tokens(), begin, room);
  check(part == Part::training || begin + count <= validation_samples_, Exit::kUnexpected,
        "validation samples [{}, {}) of {}", begin, begin + count, validation_samples_);
}

void SampleStream::fill(Part part, std::int64_t begin, std::int64_t count,
                        std::span<std::int32_t> out) const {
  expect_batch(part, begin, count, out.size());
  const auto width = static_cast<std::size_t>(sample_tokens());
  for (std::int64_t i = 0; i < count; ++i) {
    const Place from = place(part, begin + i);
    // Ids are below 2^31 (the source's vocabulary), so both integer types hold the same bits.
    auto* row = reinterpret_cast<std::uint32_t*>(out.data()) + static_cast<std::size_t>(i) * width;
    from.source->read(from.first_token, {row, width});
  }
}

void SampleStream::fill_documents(Part part, std::int64_t begin, std::int64_t count,
                                  std::span<std::int32_t> out) const {
  expect_batch(part, begin, count, out.size());
  auto next = out.begin();
  for (std::int64_t i = 0; i < count; ++i) {
    const Place from = place(part, begin + i);
    const std::int64_t end = from.first_token + sample_tokens();
    std::int64_t document = from.source->document_of(from.first_token);
    std::int32_t number = 0;
    for (std::int64_t token = from.first_token; token < end; ++number, ++document) {
      const std::int64_t stop = std::min(end, from.source->document(document).end);
      next = std::fill_n(next, stop - token, number);
      token = stop;
    }
  }
}

std::string SampleStream::fingerprint() const {
  std::string text = fmt::format("sequence {} seed {} shuffle {} fraction {}", options_.sequence,
                                 options_.seed, options_.shuffle, options_.validation_fraction);
  const auto add = [&](const Windows& part) {
    fmt::format_to(std::back_inserter(text), "\n{} {} {} {}", part.tokens->tokens(),
                   part.tokens->provenance().checksum, part.begin, part.windows);
  };
  for (std::size_t i = 0; i < training_.size(); ++i) {
    add(training_[i]);
    fmt::format_to(std::back_inserter(text), " weight {}", weights_[i]);
  }
  for (const Windows& part : validation_) add(part);
  return checksum_text(checksum(text.data(), text.size()));
}

}  // namespace trireme::io
