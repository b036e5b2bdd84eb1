#include "io/tokens/blend.hpp"

#include "kernels/base/error.hpp"
#include "kernels/base/random.hpp"

#include <cmath>
#include <numeric>

namespace trireme::io {
namespace {

/// floor(samples * share + phase): how many of the first `samples` the source takes. 96 bits.
std::int64_t taken(std::int64_t samples, std::uint64_t share, std::uint64_t phase) {
  const auto product = static_cast<unsigned __int128>(samples) * share + phase;
  return static_cast<std::int64_t>(product >> 32);
}

}  // namespace

Blend::Blend(std::span<const double> weights, std::uint64_t seed) {
  double left = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    check(std::isfinite(weights[i]) && weights[i] > 0, Exit::kUsage,
          "data source {}: expected a weight above 0, found {}", i, weights[i]);
    const bool last = i + 1 == weights.size();
    const double share = last ? 1.0 : weights[i] / left;
    levels_.push_back({static_cast<std::uint64_t>(std::llround(std::ldexp(share, 32))),
                       Philox(seed).at(i, 0)[0]});
    left -= weights[i];
  }
}

Blend::Place Blend::operator()(std::int64_t sample) const {
  for (std::size_t source = 0;; ++source) {
    const Level& level = levels_[source];
    const std::int64_t before = taken(sample, level.share, level.phase);
    const bool mine = taken(sample + 1, level.share, level.phase) > before;
    if (mine || source + 1 == levels_.size()) return {source, before};
    sample -= before;
  }
}

}  // namespace trireme::io
