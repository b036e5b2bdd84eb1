#pragma once
// Flash attention of NVIDIA's cuDNN, where it is installed and takes the call: 16-bit tensors, no
// dropout, no documents. Private to kernels/attention.
//
// cuDNN is opened at the first call, not linked: a program starts without it. The environment
// variable TRIREME_ATTENTION says "own" (never), "cudnn" (not finding it is an error) or nothing
// (where it is found). A plan a shape is built at the first call with it and kept.

#include "kernels/attention/attention.hpp"

#include <string>
#include <vector>

namespace trireme::kernels::attention {

/// What attention_forward and attention_backward of attention.hpp do, in the current stream, with
/// the same bits at every call; false, and nothing done, where the own kernels must work.
bool forward_by_cudnn(const AttentionShape& shape, const TensorView& out, const TensorView& lse,
                      const TensorView& q, const TensorView& k, const TensorView& v,
                      const AttentionOptions& options);
bool backward_by_cudnn(const AttentionShape& shape, const TensorView& dq, const TensorView& dk,
                       const TensorView& dv, const TensorView& dout, const TensorView& q,
                       const TensorView& k, const TensorView& v, const TensorView& out,
                       const TensorView& lse, const AttentionOptions& options);

/// "cuDNN 9.19.0", or "" where calls like these never reach it.
std::string cudnn_attention(DType dtype);

/// What cuDNN's front end finds wrong in the graphs of this shape, forward and backward, on a GPU
/// of this compute capability (times ten): it needs the library and no GPU. Empty: nothing.
std::vector<std::string> cudnn_complaints(const AttentionShape& shape, DType dtype, int capability);

}  // namespace trireme::kernels::attention
