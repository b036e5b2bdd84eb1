#pragma once
// Fused causal attention, forward and backward, that never stores the seq x seq scores and skips
// the blocks above the diagonal.
//
// Forward: online softmax over key blocks (Dao et al., "FlashAttention", arXiv 2205.14135, alg. 1,
// with the loop order and the log-sum-exp of "FlashAttention-2", arXiv 2307.08691, alg. 1).
// Backward: arXiv 2307.08691, alg. 2, with delta = rowsum(dout * out).

#include "kernels/base/dropout.hpp"
#include "kernels/base/tensor_view.hpp"

#include <string>

namespace trireme::kernels {

/// Sizes seen by one call; under tensor parallelism heads and kv_heads are this rank's.
struct AttentionShape {
  std::int64_t batch = 0;
  std::int64_t seq = 0;
  std::int64_t heads = 0;     ///< a multiple of kv_heads: query head h reads kv head
                              ///< h / (heads / kv_heads)
  std::int64_t kv_heads = 0;  ///< = heads for plain multi-head attention
  std::int64_t head_dim = 0;

  std::int64_t tokens() const { return batch * seq; }
};

struct AttentionOptions {
  float scale = 0;                 ///< of the scores; 0 = 1 / sqrt(head_dim)
  TensorView document_start = {};  ///< optional i32 [tokens]: first position of its sequence that
                                   ///< this token attends to, in [0, own position], never falling
                                   ///< along a sequence
  DropoutKey dropout = {};  ///< on the probabilities, element ((head, i), j) of [heads, seq, seq]
  std::int64_t first_head = 0;  ///< global index of query head 0, for dropout under tensor parallel
};

/// out = softmax(scale q k^T + mask) v for every sequence and head; token t = sample*seq +
/// position.
///   q, out [tokens, heads*head_dim]; k, v [tokens, kv_heads*head_dim]; rows may be strided (slices
///   of a packed projection). One dtype for all four: f32, bf16 or f16; sums and softmax in fp32.
///   lse    f32 [batch, heads, seq]: log of the sum of exponentials of the masked, scaled scores,
///          which backward needs.
/// Synchronous, host memory, out overlaps nothing. Wrong shapes and dtypes throw
/// Exit::kUnexpected. The same bits for any number of threads.
void attention_forward(const AttentionShape& shape, const TensorView& out, const TensorView& lse,
                       const TensorView& q, const TensorView& k, const TensorView& v,
                       const AttentionOptions& options = {});

/// Gradients of the above, written, not accumulated: dq like q, dk and dv like k, strided likewise;
/// dq, dk and dv may be slices of one packed gradient. q, k, v, out, lse and options as in forward.
/// Threads share batch x kv_heads pieces of work; where that is fewer than half the threads, parts
/// of 256 positions at 1.4 times the arithmetic, with the same bits.
void attention_backward(const AttentionShape& shape, const TensorView& dq, const TensorView& dk,
                        const TensorView& dv, const TensorView& dout, const TensorView& q,
                        const TensorView& k, const TensorView& v, const TensorView& out,
                        const TensorView& lse, const AttentionOptions& options = {});

/// Device memory that the two above work in, bytes; on the host none. `fusible`: neither documents
/// nor dropout, so that 16-bit tensors may be cuDNN's, whatever is found at run time.
///
/// The own kernels need a number a row in backward, and nothing in forward. cuDNN's plans must do
/// with what its deterministic backward needs, or they are not taken: the gradients of the scores,
/// [batch, heads, seq, seq] in 16 bits with seq in whole tiles of 128; dq in f32, and dk and dv of
/// every query head where heads are grouped; two numbers a row; and 1 MiB. Of more than 8 GiB (one
/// sequence of 16 Ki tokens with 16 heads) the own kernels do the work.
std::int64_t attention_forward_workspace(const AttentionShape& shape, DType dtype, bool fusible);
std::int64_t attention_backward_workspace(const AttentionShape& shape, DType dtype, bool fusible);

/// What computes attention of this dtype: "own kernels"; on a GPU, for 16-bit dtypes, "own kernels
/// on tensor cores" (which heads of more than 128 elements do without) and, where cuDNN was found,
/// "cuDNN 9.19.0; for documents and dropout own kernels on tensor cores" (attention_cudnn.hpp).
std::string attention_path(DType dtype, MemorySpace space = MemorySpace::host);

/// Multiply-adds x 2 that one call needs, masked half not counted (documents are not considered):
/// forward 4, backward 10 x batch heads head_dim seq (seq + 1) / 2.
double attention_forward_flops(const AttentionShape& shape);
double attention_backward_flops(const AttentionShape& shape);

}  // namespace trireme::kernels
