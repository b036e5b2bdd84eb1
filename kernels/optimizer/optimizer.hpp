#pragma once
// Fused updates of flat fp32 ranges: every byte is read once and written once (LAMB: two passes).
//
// A range is any slice of a flat block: element i of the result depends on element i alone (LAMB
// adds one factor a tensor), so shards of any size give the bits of the whole. Multiply-adds are
// explicit fma, square roots and quotients correctly rounded: no dependence on vector width, tail
// or threads. Host memory; calls return when the work is done; a size that does not fit is a bug
// report. `step` counts from 1. Skipped steps call nothing. In device memory an update is one
// launch for every 64 ranges of `undecayed`, however many parameters it covers.
//
// Keys keep DeepSpeed's meaning and defaults (reference/deepspeed.md section 1).

#include "kernels/base/checked.hpp"
#include "kernels/base/tensor_view.hpp"

#include <cstdint>
#include <span>

namespace trireme::kernels {

/// What every update reads and writes: n elements, unaliased.
struct UpdateRange {
  std::span<float> master;  ///< weights, updated
  TensorView weights;  ///< f32, bf16 or f16 [n], written from master in the same pass; or empty
  std::span<const float> gradient;  ///< multiplied by gradient_scale when read
  float gradient_scale = 1;         ///< clip factor / loss scale
  double learning_rate = 0;
  double weight_decay = 0;
  /// Elements without weight decay (norms, biases): not empty, in order, without overlap; in host
  /// memory, read during the call. LAMB's ranges are of one tensor: none, a bug report.
  std::span<const Range> undecayed;
  MemorySpace space = MemorySpace::host;  ///< of everything, moments included
};

/// Kingma, Ba, arXiv 1412.6980 alg. 1; decoupled decay: Loshchilov, Hutter, arXiv 1711.05101
/// alg. 2.
///   decoupled: p <- p - lr ((m / c1) / (sqrt(v) / sqrt(c2) + eps) + wd p), c = 1 - beta^step
///   else:      g <- g + wd p first (L2)
struct Adam {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  bool decoupled = true;        ///< adam_w_mode
  bool bias_correction = true;  ///< false: c1 = c2 = 1
};
void adam_update(const Adam& adam, std::int64_t step, const UpdateRange& range,
                 std::span<float> first_moment, std::span<float> second_moment);

/// PyTorch's SGD: g <- g + wd p; buf <- momentum buf + (1 - dampening) g, and buf <- g at step 1;
/// p <- p - lr (nesterov ? g + momentum buf : buf). Without momentum buf is not touched and may be
/// empty.
struct Sgd {
  double momentum = 0;
  double dampening = 0;
  bool nesterov = false;  ///< needs momentum > 0 and dampening 0 (Exit::kUsage)
};
void sgd_update(const Sgd& sgd, std::int64_t step, const UpdateRange& range,
                std::span<float> momentum);

/// Chen et al., arXiv 2302.06675 alg. 2: p <- p - lr (sign(b1 m + (1 - b1) g) + wd p);
/// m <- b2 m + (1 - b2) g. sign(0) = 0.
struct Lion {
  double beta1 = 0.9;
  double beta2 = 0.99;
};
void lion_update(const Lion& lion, const UpdateRange& range, std::span<float> first_moment);

/// You et al., arXiv 1904.00962 alg. 2, in the form of DeepSpeed's FusedLamb: u = m / (sqrt(v) +
/// eps) + wd p; p <- p - lr sqrt(c2) / c1 r u, where r = |p| / |u| held to [min_coefficient,
/// max_coefficient], and 1 when either norm is 0. (The paper corrects m and v instead of lr, so
/// that its wd is not scaled by the correction.)
struct Lamb {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double max_coefficient = 10;
  double min_coefficient = 0.01;
  bool bias_correction = true;
};

/// Sums over a range; those of a tensor's shards are added (in rank order) before lamb_ratio.
struct LambNorms {
  double weights = 0;  ///< sum p^2
  double update = 0;   ///< sum u^2
};

/// Phase 1: updates the moments and adds the sums over the range to *norms (in the range's memory
/// space; null: they count nowhere); the weights stay as they are.
void lamb_moments(const Lamb& lamb, const UpdateRange& range, std::span<float> first_moment,
                  std::span<float> second_moment, LambNorms* norms);
/// Device memory that lamb_moments() works in, bytes; on the host none, and the others none either.
inline constexpr std::int64_t kLambMomentsWorkspace = 512 * sizeof(LambNorms);
/// The trust ratio r of a whole tensor from the sums over its ranges.
double lamb_ratio(const Lamb& lamb, const LambNorms& norms);
/// Phase 2: p <- p - lr sqrt(c2) / c1 r u, with r of *norms, which are the whole tensor's and lie
/// in the range's memory space, and u made again from p and the moments (as many bytes as keeping
/// it, and no buffer). The gradient is not read and may be empty.
void lamb_apply(const Lamb& lamb, std::int64_t step, const LambNorms* norms,
                const UpdateRange& range, std::span<const float> first_moment,
                std::span<const float> second_moment);

}  // namespace trireme::kernels
