#pragma once
// The parts of what attention_forward_workspace and attention_backward_workspace say. Private to
// kernels/attention.

#include "kernels/attention/attention.hpp"

namespace trireme::kernels::attention {

/// The own backward kernels': rowsum(dout out), f32 [batch, heads, seq].
std::int64_t own_backward_bytes(const AttentionShape& shape);
/// The limit that cuDNN's plans are held to; 0: it is not asked.
std::int64_t cudnn_bytes(const AttentionShape& shape, bool backward);

}  // namespace trireme::kernels::attention
