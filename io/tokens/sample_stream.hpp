#pragma once
// Samples for training and validation: windows of S + 1 tokens cut from token files.
//
// Windows. A source's training tokens [begin, end) hold floor((end - begin - 1) / S) windows;
// window w is tokens [begin + w S, begin + w S + S + 1): inputs are its first S tokens, targets its
// last S, so that neighbouring windows share one token and every token but the first is a target
// once. The tokens of an incomplete last window are not used.
//
// Training. Global sample i comes from a source chosen by weight (blend.hpp); the source's j-th
// sample is window P_e(j mod windows) of its epoch e = j / windows, where P_e is another
// pseudo-random permutation in every epoch (permutation.hpp), or the identity without shuffling.
// All this is a pure function of (seed, i): no state, no memory per sample, any rank can ask for
// any sample, and resuming is asking for the next one.
//
// Validation. Either files of their own, or the tail of every source: whole documents, as few of
// the last ones as hold validation_fraction of the source's tokens; a source of one document is cut
// inside it. Windows are cut like above and read in fixed order, source after source.

#include "io/tokens/blend.hpp"
#include "io/tokens/source.hpp"
#include "kernels/base/checked.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace trireme::io {

enum class Part : std::uint8_t { training, validation };

struct SampleStreamOptions {
  std::int64_t sequence = 0;  ///< S, tokens
  std::uint64_t seed = 0;
  bool shuffle = true;
  double validation_fraction = 0;  ///< of each source's tokens, in [0, 1); 0 = none
};

struct WeightedSource {
  std::shared_ptr<const TokenSource> tokens;
  double weight = 0;  ///< share of samples; 0 for all sources = in proportion to training tokens
};

/// How one source is divided; ranges of its tokens.
struct SourceSplit {
  Range training;
  Range validation;
  std::int64_t first_validation_document = 0;  ///< documents() when none validates
};

/// The division described above. Errors (Exit::kUsage): a fraction outside [0, 1), or one that
/// leaves nothing to train on.
SourceSplit split_source(const TokenSource& source, double validation_fraction);

class SampleStream {
 public:
  /// `validation` are files of their own, then validation_fraction must be 0. Errors
  /// (Exit::kUsage): too few tokens for one window, a validation split longer than the data or too
  /// short for one window, weights of which some are 0 or negative.
  SampleStream(std::vector<WeightedSource> sources,
               std::vector<std::shared_ptr<const TokenSource>> validation,
               const SampleStreamOptions& options);

  std::int64_t sequence() const { return options_.sequence; }
  /// Tokens in a sample: S + 1.
  std::int64_t sample_tokens() const { return options_.sequence + 1; }

  /// Samples [begin, begin + count) as ids, out is i32 [count, S + 1], dense. Blocks until read.
  /// Training samples never end; validation samples end at validation_samples(). Thread-safe,
  /// allocates only on error. Errors of the files: Exit::kFile.
  void fill(Part part, std::int64_t begin, std::int64_t count, std::span<std::int32_t> out) const;
  /// The same samples as numbers of documents, counted inside each sample from 0: tokens with
  /// different numbers lie in different documents. out is i32 [count, S + 1].
  void fill_documents(Part part, std::int64_t begin, std::int64_t count,
                      std::span<std::int32_t> out) const;

  std::int64_t validation_samples() const { return validation_samples_; }
  std::size_t sources() const { return training_.size(); }
  const SourceSplit& split(std::size_t source) const { return splits_[source]; }
  /// Windows of one epoch of a source.
  std::int64_t training_windows(std::size_t source) const { return training_[source].windows; }
  /// Share of samples that come from a source; sums to 1.
  double weight(std::size_t source) const { return weights_[source]; }

  struct Place {
    const TokenSource* source = nullptr;
    std::int64_t epoch = 0;
    std::int64_t first_token = 0;
  };
  /// Where a sample's tokens lie.
  Place place(Part part, std::int64_t sample) const;

  /// Hash of everything that decides which tokens sample i holds; equal hashes resume exactly.
  std::string fingerprint() const;

 private:
  struct Windows {
    std::shared_ptr<const TokenSource> tokens;
    std::int64_t begin = 0;
    std::int64_t windows = 0;
  };
  Windows cut(std::shared_ptr<const TokenSource> tokens, const Range& range) const;
  void expect_batch(Part part, std::int64_t begin, std::int64_t count, std::size_t room) const;

  SampleStreamOptions options_;
  std::vector<SourceSplit> splits_;
  std::vector<Windows> training_;
  std::vector<Windows> validation_;
  std::vector<double> weights_;
  std::int64_t validation_samples_ = 0;
  std::unique_ptr<const Blend> blend_;
};

}  // namespace trireme::io
