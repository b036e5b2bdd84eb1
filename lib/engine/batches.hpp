#pragma once
// Micro-batches of token ids in the layout that models read, for the storage lane.

#include "io/tokens/sample_stream.hpp"
#include "lib/deck/deck.hpp"
#include "lib/engine/executor.hpp"

#include <atomic>

namespace trireme::engine {

/// Bytes and time of reading, over all calls; for the report.
struct ReadCounts {
  std::atomic<std::int64_t> bytes{0};
  std::atomic<std::int64_t> calls{0};
  std::atomic<std::int64_t> nanoseconds{0};
};

class Batches {
 public:
  /// Opens the deck's token files. Exit::kFile: missing, torn, of another vocabulary; Exit::kUsage:
  /// a validation split that is impossible.
  explicit Batches(const deck::Deck& deck);

  /// Loads samples [first_sample, ...) of the training order.
  LoadBatch training();
  /// Validation samples in their fixed order; samples from `limit` on are masked (target -1). The
  /// limit is a multiple of nothing: the last batch may be partly masked.
  LoadBatch validation();
  void set_validation_limit(std::int64_t samples) { validation_limit_ = samples; }

  std::int64_t validation_samples() const { return stream_.validation_samples(); }
  const io::SampleStream& stream() const { return stream_; }
  const ReadCounts& counts() const { return counts_; }

 private:
  std::int64_t load(io::Part part, std::int64_t first, const TensorView& tokens,
                    const TensorView& documents);

  io::SampleStream stream_;
  std::int64_t sequence_;
  std::int64_t validation_limit_ = 0;
  std::vector<std::int32_t> scratch_;  // [micro_batch, sequence + 1]
  ReadCounts counts_;
};

}  // namespace trireme::engine
