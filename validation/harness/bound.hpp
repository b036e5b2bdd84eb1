#pragma once
// The one tolerance of every equality between runs that must agree up to the order of summation:
// grids, schedules, recompute, sequence parallelism, back ends (DESIGN section 8).

#include "kernels/base/dtype.hpp"

namespace trireme::validation {

/// Largest relative Frobenius error allowed for a tensor of layer `layer` of `layers` (1-based;
/// 0 = the embedding, layers + 1 = the head), computed in `dtype`:
///   k 1.03^(layers + 1 - layer) eps(dtype)
/// The growth per layer is that of Megatron-LM's gradient test (it cites arXiv 2506.09280, thm
/// 5.3). k is 3 x the largest error seen between one-rank results that differ only in summation
/// order; where each value comes from stands beside it in bound.cpp.
double bound(DType dtype, int layer, int layers);

/// The same for a gradient of norm `norm` in a model whose gradients together have norm `all`: a
/// tensor whose true gradient nearly cancels (the key bias of attention) carries the rounding of
/// the others, so eps(dtype) all / norm is added.
double bound(DType dtype, int layer, int layers, double all, double norm);

/// The k above.
double bound_factor(DType dtype);

}  // namespace trireme::validation
