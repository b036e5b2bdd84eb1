#pragma once
// Which source a sample comes from: exact shares, computed from the sample's number alone.

#include <cstdint>
#include <span>
#include <vector>

namespace trireme::io {

/// Deals samples 0, 1, 2, ... to sources in proportion to their weights. Source 0 takes its share
/// of all samples at even distances, source 1 its share of the rest, and so on; after n samples
/// each source has had its share of them within the number of sources. O(sources) a look-up.
class Blend {
 public:
  /// Weights > 0 (Exit::kUsage otherwise), any sum. The seed shifts where each source begins.
  Blend(std::span<const double> weights, std::uint64_t seed);

  struct Place {
    std::size_t source = 0;
    std::int64_t sample = 0;  ///< how many samples this source gave before
  };
  Place operator()(std::int64_t sample) const;

 private:
  struct Level {
    std::uint64_t share;  ///< of what is left, in units of 2^-32; 2^32 = all
    std::uint64_t phase;  ///< in units of 2^-32, below 2^32
  };
  std::vector<Level> levels_;
};

}  // namespace trireme::io
