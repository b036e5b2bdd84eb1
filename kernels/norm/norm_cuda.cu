// Norms and residuals: a block holds a group of columns of one row in registers, so that memory is
// read once and written once.

#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/columns_cuda.hpp"
#include "kernels/elementwise/device_dropout.cuh"
#include "kernels/norm/norm_parts.hpp"

#include <cmath>

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::Matrix;
using cuda::matrix_of;

struct Plan {
  std::int64_t width, group, groups;
  bool centred;  ///< LayerNorm
  float epsilon;
  Matrix gamma, beta;
  float* mean;
  float* rstd;
};

Plan plan(const Norm& norm, const TensorView& x, const NormStatistics& saved) {
  const std::int64_t group = norm.gamma.elements();
  const bool centred = norm.kind == NormKind::layer;
  return {x.width(),
          group,
          x.width() / group,
          centred,
          norm.epsilon,
          matrix_of(norm.gamma),
          matrix_of(norm.beta),
          static_cast<float*>(saved.mean.data),
          static_cast<float*>(saved.rstd.data)};
}

struct ResidualPlan {
  Matrix delta, bias;  ///< delta empty: no residual
  RowDropout dropout;
  std::int64_t width;
};

ResidualPlan plan(const Residual& residual, const TensorView& x) {
  return {matrix_of(residual.delta), matrix_of(residual.bias), residual.dropout, x.width()};
}

/// v <- v + dropout(delta + bias) for a pack of a row.
__device__ void add_residual(const ResidualPlan& r, std::int64_t row, std::int64_t column,
                             int count, float (&v)[kPack]) {
  float d[kPack];
  cuda::load(r.delta, row, column, count, d);
  if (r.bias.data) {
    float b[kPack];
    cuda::load(r.bias, 0, column, count, b);
    for (int k = 0; k < kPack; ++k) d[k] += b[k];
  }
  if (r.dropout.active()) {
    float factors[kPack];
    cuda::dropout_factors(r.dropout, row, r.width, column, factors);
    for (int k = 0; k < kPack; ++k) v[k] = std::fma(d[k], factors[k], v[k]);
  } else {
    for (int k = 0; k < kPack; ++k) v[k] += d[k];
  }
}

struct AddResidual {
  Matrix x, out;
  ResidualPlan residual;
  __device__ void operator()(const cuda::Pack& p) const {
    float v[kPack];
    cuda::load(x, p.row, p.column, p.count, v);
    add_residual(residual, p.row, p.column, p.count, v);
    cuda::store(out, p.row, p.column, p.count, v);
  }
};

/// This thread's p-th pack of a group.
struct Place {
  std::int64_t column;  ///< in the group
  int count;            ///< 0 beyond its end
};
__device__ Place place(const Plan& plan, int p) {
  const std::int64_t column = (static_cast<std::int64_t>(p) * blockDim.x + threadIdx.x) * kPack;
  const std::int64_t left = plan.group - column;
  return {column, left >= kPack ? kPack : left > 0 ? static_cast<int>(left) : 0};
}

/// Threads of a block in which each takes `packs` packs. Few packs are held in registers; what does
/// not fit there is shared by more threads.
constexpr int most_threads(int packs) { return packs <= 4 ? cuda::kThreads : 2 * cuda::kThreads; }

/// One block a group: statistics and y of x (+ residual, written to out). kPacks a thread.
template <int kPacks>
__global__ void __launch_bounds__(most_threads(kPacks))
    norm_kernel(Plan plan, ResidualPlan residual, Matrix x, Matrix out, Matrix y) {
  const std::int64_t item = blockIdx.x;
  const std::int64_t row = item / plan.groups;
  const std::int64_t start = item % plan.groups * plan.group;
  const auto n = static_cast<float>(plan.group);
  float v[kPacks][kPack];
  float sum = 0;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const Place at = place(plan, p);
    cuda::load(x, row, start + at.column, at.count, v[p]);
    if (residual.delta.data) {
      add_residual(residual, row, start + at.column, at.count, v[p]);
      cuda::store(out, row, start + at.column, at.count, v[p]);
      cuda::round_to(out.dtype, v[p]);  // the next layer sees the stored value
    }
    for (int k = 0; k < kPack; ++k) sum += k < at.count ? v[p][k] : 0.0f;
  }
  const float mean = plan.centred ? cuda::block_sum(sum) / n : 0.0f;
  float square = 0;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const Place at = place(plan, p);
    for (int k = 0; k < kPack; ++k) {
      const float centred = v[p][k] - mean;
      square += k < at.count ? centred * centred : 0.0f;
    }
  }
  const float rstd = 1.0f / std::sqrt(cuda::block_sum(square) / n + plan.epsilon);
  if (threadIdx.x == 0) {
    plan.rstd[item] = rstd;
    if (plan.centred) plan.mean[item] = mean;
  }
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const Place at = place(plan, p);
    float gamma[kPack];
    cuda::load(plan.gamma, 0, at.column, at.count, gamma);
    if (plan.centred) {
      float beta[kPack];
      cuda::load(plan.beta, 0, at.column, at.count, beta);
      for (int k = 0; k < kPack; ++k)
        v[p][k] = std::fma((v[p][k] - mean) * rstd, gamma[k], beta[k]);
    } else {
      for (int k = 0; k < kPack; ++k) v[p][k] = v[p][k] * rstd * gamma[k];
    }
    cuda::store(y, row, start + at.column, at.count, v[p]);
  }
}

struct BackwardViews {
  Matrix x, dy, skip, dx;  ///< skip may be empty
  float* partial;          ///< [parts, 2, group]: sums of gamma's and beta's gradients
};

/// How far the backward unrolls a thread's packs: it keeps four values of each element, and those
/// of more packs than four do not fit into registers.
constexpr int unrolled(int packs) { return packs <= 4 ? 4 : 1; }

/// One block a part of the groups [0, items), `part_items` of them, in order.
template <int kPacks>
__global__ void __launch_bounds__(most_threads(kPacks))
    backward_kernel(Plan plan, BackwardViews views, std::int64_t items, std::int64_t part_items) {
  const auto n = static_cast<float>(plan.group);
  float d_gamma[kPacks][kPack] = {};
  float d_beta[kPacks][kPack] = {};
  const std::int64_t begin = blockIdx.x * part_items;
  const std::int64_t end = begin + part_items < items ? begin + part_items : items;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t row = item / plan.groups;
    const std::int64_t start = item % plan.groups * plan.group;
    const float rstd = plan.rstd[item];
    const float mean = plan.centred ? plan.mean[item] : 0.0f;
    float normed[kPacks][kPack];  // (x - mean) rstd
    float slope[kPacks][kPack];   // dy gamma
    float first = 0;
    float second = 0;
#pragma unroll unrolled(kPacks)
    for (int p = 0; p < kPacks; ++p) {
      const Place at = place(plan, p);
      float gamma[kPack];
      float dy[kPack];
      cuda::load(plan.gamma, 0, at.column, at.count, gamma);
      cuda::load(views.dy, row, start + at.column, at.count, dy);
      cuda::load(views.x, row, start + at.column, at.count, normed[p]);
      for (int k = 0; k < kPack; ++k) {  // dy and gamma are 0 beyond the end
        normed[p][k] = (normed[p][k] - mean) * rstd;
        slope[p][k] = dy[k] * gamma[k];
        first += slope[p][k];
        second += slope[p][k] * normed[p][k];
        d_gamma[p][k] = std::fma(dy[k], normed[p][k], d_gamma[p][k]);
        d_beta[p][k] += dy[k];
      }
    }
    // An RMSNorm has no mean to differentiate.
    first = plan.centred ? cuda::block_sum(first) / n : 0.0f;
    second = cuda::block_sum(second) / n;
#pragma unroll unrolled(kPacks)
    for (int p = 0; p < kPacks; ++p) {
      const Place at = place(plan, p);
      float dx[kPack];
      for (int k = 0; k < kPack; ++k)
        dx[k] = std::fma(-normed[p][k], second, slope[p][k] - first) * rstd;
      if (views.skip.data) {
        float past[kPack];
        cuda::load(views.skip, row, start + at.column, at.count, past);
        for (int k = 0; k < kPack; ++k) dx[k] += past[k];
      }
      cuda::store(views.dx, row, start + at.column, at.count, dx);
    }
  }
  const Matrix out{reinterpret_cast<std::byte*>(views.partial), plan.group, DType::f32};
  const std::int64_t sums = static_cast<std::int64_t>(blockIdx.x) * 2;
#pragma unroll unrolled(kPacks)
  for (int p = 0; p < kPacks; ++p) {
    const Place at = place(plan, p);
    cuda::store(out, sums, at.column, at.count, d_gamma[p]);
    cuda::store(out, sums + 1, at.column, at.count, d_beta[p]);
  }
}

/// Calls f(threads, constant packs a thread) with the smallest shape that holds `group` columns.
template <class F>
void with_block_shape(std::int64_t group, const F& f) {
  const std::int64_t packs = cuda::blocks_for(group, kPack);
  const auto threads = [&](std::int64_t each) {
    return static_cast<int>(cuda::blocks_for(cuda::blocks_for(packs, each), cuda::kWarp) *
                            cuda::kWarp);
  };
  if (packs <= cuda::kThreads) return f(threads(1), std::integral_constant<int, 1>{});
  if (packs <= 4 * cuda::kThreads) return f(threads(4), std::integral_constant<int, 4>{});
  constexpr int kMost = 8;
  check(packs <= kMost * most_threads(kMost), Exit::kUsage,
        "a norm over {} columns: the GPU kernel holds at most {}", group,
        kMost * most_threads(kMost) * kPack);
  f(threads(kMost), std::integral_constant<int, kMost>{});
}

void run_forward(const char* what, const Norm& norm, const ResidualPlan& residual,
                 const TensorView& x, const TensorView& out, const TensorView& y,
                 const NormStatistics& saved) {
  const Plan p = plan(norm, x, saved);
  with_block_shape(p.group, [&](int threads, auto packs) {
    cuda::launch(what, norm_kernel<packs>, dim3(static_cast<unsigned>(x.rows() * p.groups)),
                 threads, 0, p, residual, matrix_of(x), matrix_of(out), matrix_of(y));
  });
}

void forward(const Norm& norm, const TensorView& x, const TensorView& y,
             const NormStatistics& saved) {
  run_forward("norm_forward", norm, {}, x, x, y, saved);
}

void residual_rows(const Residual& residual, const TensorView& x, const TensorView& out) {
  cuda::for_packs("residual", cuda::Packs(x.rows(), x.width()),
                  AddResidual{matrix_of(x), matrix_of(out), plan(residual, x)});
}

void residual_and_norm(const Norm& norm, const Residual& residual, const TensorView& x,
                       const TensorView& out, const TensorView& y, const NormStatistics& saved) {
  run_forward("residual_norm", norm, plan(residual, x), x, out, y, saved);
}

void backward(const Norm& norm, const TensorView& x, const TensorView& dy,
              const NormStatistics& saved, const TensorView& skip, const TensorView& dx,
              const NormGradients& gradients) {
  const Plan p = plan(norm, x, saved);
  const std::int64_t items = x.rows() * p.groups;
  const DeviceNormParts parts(items, p.group);
  auto* partial = static_cast<float*>(
      current_stream().scratch("norm_backward", norm_backward_workspace(items, p.group)));
  const BackwardViews views{matrix_of(x), matrix_of(dy), matrix_of(skip), matrix_of(dx), partial};
  with_block_shape(p.group, [&](int threads, auto packs) {
    cuda::launch("norm_backward", backward_kernel<packs>, dim3(static_cast<unsigned>(parts.count)),
                 threads, 0, p, views, items, parts.size);
  });
  const auto join = [&](const TensorView& out, const float* from) {
    if (out)
      join_device_columns(from, parts.count, 2 * p.group, p.group, static_cast<float*>(out.data),
                          gradients.accumulate);
  };
  join(gradients.gamma, partial);
  join(gradients.beta, partial + p.group);
}

}  // namespace

void provide_norm(DeviceKernels& kernels) {
  kernels.norm_forward = forward;
  kernels.residual_forward = residual_rows;
  kernels.residual_norm_forward = residual_and_norm;
  kernels.norm_backward = backward;
}

}  // namespace trireme::kernels
