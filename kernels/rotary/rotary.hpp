#pragma once
// Rotary position embedding (Su et al., "RoFormer", arXiv 2104.09864, eq. 34): element i of a head
// is paired with element i + head_dim/2 ("rotate half", as Hugging Face's llama), not with its
// neighbour as in the paper; the two differ by a fixed permutation of the head's elements.

#include "kernels/base/device.hpp"
#include "kernels/base/tensor_view.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace trireme::kernels {

/// cos and sin of position * theta^(-2i/head_dim) for i < head_dim/2, computed in double, kept as
/// fp32. Made once a model; immutable, so any thread may read it.
class RotaryTable {
 public:
  /// head_dim must be even.
  RotaryTable(std::int64_t max_positions, std::int64_t head_dim, double theta = 10000.0);

  std::int64_t max_positions() const { return positions_; }
  std::int64_t head_dim() const { return head_dim_; }
  /// Row of head_dim/2 cosines, then head_dim/2 sines.
  const float* row(std::int64_t position) const { return values_.data() + position * head_dim_; }
  /// Copies the table to the device in use: needed once before rotary() is called with device
  /// memory. Waits for the copy.
  void place_on_device();
  /// Null before place_on_device().
  const float* device_values() const {
    return device_ ? static_cast<const float*>(device_->data()) : nullptr;
  }
  std::int64_t bytes() const { return static_cast<std::int64_t>(values_.size() * sizeof(float)); }

 private:
  std::int64_t positions_;
  std::int64_t head_dim_;
  std::vector<float> values_;
  std::shared_ptr<const DeviceMemory> device_;
};

enum class Rotation : std::uint8_t {
  forward,
  inverse  ///< the transpose: what backward applies to gradients
};

/// Rotates every head of x in place: x [tokens, heads*head_dim], rows may be strided (the q or k
/// slice of a packed projection), f32, bf16 or f16. Row r has position r % seq, or positions[r]
/// where `positions` (i32 [tokens]) is given. Synchronous, host memory. Wrong shapes and a seq
/// beyond the table throw Exit::kUnexpected; given positions must lie inside the table.
void rotary(const TensorView& x, const RotaryTable& table, std::int64_t seq, Rotation rotation,
            const TensorView& positions = {});

}  // namespace trireme::kernels
