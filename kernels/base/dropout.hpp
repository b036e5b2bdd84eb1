#pragma once
// Dropout masks as a pure function of (seed, step, place, global sample, element): no mask is
// stored, backward draws it again, and every grid draws the same one.
// Srivastava et al., "Dropout", JMLR 15 (2014); kept values are scaled by 1 / (1 - probability).

#include "kernels/base/random.hpp"

#include <algorithm>
#include <cstdint>

namespace trireme {

/// Names one dropout of one micro-batch. A plain value: copy it.
struct DropoutKey {
  std::uint64_t seed = 0;         ///< the run's seed
  std::uint64_t step = 0;         ///< optimizer step
  std::uint64_t layer_place = 0;  ///< layer x 8 + place within the layer: below 2^24
  float probability = 0;          ///< of dropping; 0 = no dropout
  std::int64_t first_sample = 0;  ///< global index, within the step, of the micro-batch's sample 0

  constexpr bool active() const { return probability > 0; }
  /// Factor on kept values.
  constexpr float scale() const { return 1.0f / (1.0f - probability); }
};

/// The mask of one sample. Element indices count in the sample's *whole* tensor, [seq, width] for
/// activations and [heads, seq, seq] for attention, whatever shard of it a rank holds.
class DropoutStream {
 public:
  /// `sample` counts within the micro-batch.
  constexpr DropoutStream(const DropoutKey& key, std::int64_t sample)
      : philox_(key.seed),
        low_(static_cast<std::uint32_t>(key.step)),
        high_(static_cast<std::uint32_t>(key.first_sample + sample)),
        place_(static_cast<std::uint32_t>(key.layer_place)),
        threshold_(static_cast<std::uint32_t>(key.probability * 0x1p24f)) {}

  /// Whether element `index` stays.
  constexpr bool keep(std::int64_t index) const {
    return keeps(words(index / 4)[static_cast<std::size_t>(index % 4)]);
  }

  /// factors[i] = scale where element begin + i stays, else 0, for i in [0, count).
  void factors(std::int64_t begin, std::int64_t count, float scale, float* out) const;

  /// For loops that draw a group of four elements at a time: element 4 group + i stays where
  /// keeps(words(group)[i]).
  constexpr std::array<std::uint32_t, 4> words(std::int64_t group) const {
    return philox_(counter_of(group));
  }
  constexpr bool keeps(std::uint32_t word) const { return (word >> 8) >= threshold_; }

 private:
  /// Counter: 40 bits of element group, 24 of place, 32 of sample, 32 of step.
  constexpr std::array<std::uint32_t, 4> counter_of(std::int64_t group) const {
    const auto g = static_cast<std::uint64_t>(group);
    return {static_cast<std::uint32_t>(g), static_cast<std::uint32_t>(g >> 32) | (place_ << 8),
            high_, low_};
  }

  Philox philox_;
  std::uint32_t low_;
  std::uint32_t high_;
  std::uint32_t place_;
  std::uint32_t threshold_;
};

/// Keep-mask of one element; loops should hold a DropoutStream instead.
inline bool dropout_keep(const DropoutKey& key, std::int64_t sample, std::int64_t element) {
  return DropoutStream(key, sample).keep(element);
}

}  // namespace trireme
