#pragma once
// The blocks of a transformer language model as plans. Tensor-parallel forms: Shoeybi et al., arXiv
// 1909.08053, section 3 (column-parallel, then row-parallel products, one sum each way);
// sequence-parallel residual stream: Korthikanti et al., arXiv 2205.05198, section 4.2 (gather
// before, scatter behind).
//
// Kept for backward, bytes a token of a layer on one rank (s = size of the compute dtype, h hidden,
// f ffn_hidden, q and v the widths of queries and of keys/values, t tensor ranks; the rows of the
// residual stream are divided by t under sequence parallelism):
//   3 h s            normed before attention, x + attention, normed before mlp
//   (2 q + 2 v) s/t  projection, and what attention gives
//   4 heads/t        its log-sum-exp
//   2 f s/t          SwiGLU: gate and up; others: before and behind the activation
//   2 x 4 or 2 x 8   statistics of RMSNorm or LayerNorm
//   q/k norm: (q + v) s/t + 4 (heads + kv_heads)/t more

#include "lib/nn/layer_config.hpp"

namespace trireme::nn {

/// Token embedding on a shard of the vocabulary, learned positions, dropout.
/// tokens -> [local tokens, hidden]. Unit 0: positions (and tokens unless tied); unit 1: tied
/// tokens.
std::shared_ptr<const BlockPlan> embedding_block(const LayerConfig& config,
                                                 const Placement& placement);

/// Pre-norm transformer layer: y = z + mlp(norm(z)), z = x + attention(norm(x)).
std::shared_ptr<const BlockPlan> transformer_block(const LayerConfig& config,
                                                   const Placement& placement);

/// Final norm, logits on a shard of the vocabulary, cross-entropy that never gathers them. Forward
/// turns the logits into their gradient in place (when training), backward starts from there.
std::shared_ptr<const BlockPlan> head_block(const LayerConfig& config, const Placement& placement);

}  // namespace trireme::nn
