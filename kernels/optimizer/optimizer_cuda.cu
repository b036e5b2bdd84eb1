#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"
#include "kernels/optimizer/formulas.hpp"

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::kThreads;
using cuda::Matrix;
using cuda::matrix_of;
using cuda::Pack;
using cuda::Packs;

Matrix matrix_of_span(std::span<const float> values) {
  return {reinterpret_cast<std::byte*>(const_cast<float*>(values.data())), std::ssize(values),
          DType::f32};
}

/// What every update reads and writes, in packs.
struct Range {
  Matrix p, g, copy;
  explicit Range(const UpdateRange& range)
      : p(matrix_of_span(range.master)),
        g(matrix_of_span(range.gradient)),
        copy(matrix_of(range.weights)) {}
  __device__ void write(const Pack& at, const float (&weights)[kPack]) const {
    cuda::store(p, 0, at.column, at.count, weights);
    if (copy.data) cuda::store(copy, 0, at.column, at.count, weights);
  }
};

/// step(p, g, moments...) for every element; kMoments of them are read and written.
template <class Step, int kMoments>
struct Update {
  Range range;
  Step step;
  Matrix moments[kMoments > 0 ? kMoments : 1];
  __device__ void operator()(const Pack& at) const {
    float p[kPack];
    float g[kPack];
    float m[kMoments > 0 ? kMoments : 1][kPack];
    cuda::load(range.p, 0, at.column, at.count, p);
    cuda::load(range.g, 0, at.column, at.count, g);
    for (int i = 0; i < kMoments; ++i) cuda::load(moments[i], 0, at.column, at.count, m[i]);
    for (int k = 0; k < kPack; ++k) {
      if constexpr (kMoments == 0)
        step(p[k], g[k]);
      else if constexpr (kMoments == 1)
        step(p[k], g[k], m[0][k]);
      else
        step(p[k], g[k], m[0][k], m[1][k]);
    }
    range.write(at, p);
    for (int i = 0; i < kMoments; ++i) cuda::store(moments[i], 0, at.column, at.count, m[i]);
  }
};

Packs packs_of(const UpdateRange& range) { return Packs(1, std::ssize(range.master)); }

void adam(const Adam& options, std::int64_t step, const UpdateRange& range, std::span<float> first,
          std::span<float> second) {
  cuda::for_packs("adam", packs_of(range),
                  Update<AdamStep, 2>{Range(range),
                                      AdamStep(options, step, range),
                                      {matrix_of_span(first), matrix_of_span(second)}});
}

void sgd(const Sgd& options, std::int64_t step, const UpdateRange& range,
         std::span<float> momentum) {
  const SgdStep formula(options, step, range);
  if (options.momentum == 0)
    cuda::for_packs("sgd", packs_of(range), Update<SgdStep, 0>{Range(range), formula, {}});
  else
    cuda::for_packs("sgd", packs_of(range),
                    Update<SgdStep, 1>{Range(range), formula, {matrix_of_span(momentum)}});
}

void lion(const Lion& options, const UpdateRange& range, std::span<float> first) {
  cuda::for_packs(
      "lion", packs_of(range),
      Update<LionStep, 1>{Range(range), LionStep(options, range), {matrix_of_span(first)}});
}

// ---- LAMB
// ------------------------------------------------------------------------------------------

constexpr std::int64_t kMostSums = 512;

__global__ void lamb_moments_kernel(Range range, LambStep step, Matrix first, Matrix second,
                                    std::int64_t n, LambNorms* partial) {
  LambNorms sum;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x * kPack;
  for (std::int64_t at = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kPack;
       at < n; at += stride) {
    const int count = n - at < kPack ? static_cast<int>(n - at) : kPack;
    float p[kPack];
    float g[kPack];
    float m[kPack];
    float v[kPack];
    cuda::load(range.p, 0, at, count, p);
    cuda::load(range.g, 0, at, count, g);
    cuda::load(first, 0, at, count, m);
    cuda::load(second, 0, at, count, v);
    for (int k = 0; k < kPack; ++k) {
      if (k >= count) continue;
      const double u = step(p[k], g[k], m[k], v[k]);
      const double weight = p[k];
      sum.weights += weight * weight;
      sum.update += u * u;
    }
    cuda::store(first, 0, at, count, m);
    cuda::store(second, 0, at, count, v);
  }
  const double weights = cuda::block_sum(sum.weights);
  const double update = cuda::block_sum(sum.update);
  if (threadIdx.x == 0) {
    partial[blockIdx.x].weights = weights;
    partial[blockIdx.x].update = update;
  }
}

/// One block: the sums of all blocks, always in the same order.
__global__ void add_norms(const LambNorms* partial, std::int64_t count, LambNorms* norms) {
  LambNorms sum;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    sum.weights += partial[i].weights;
    sum.update += partial[i].update;
  }
  const double weights = cuda::block_sum(sum.weights);
  const double update = cuda::block_sum(sum.update);
  if (threadIdx.x != 0) return;
  norms->weights += weights;
  norms->update += update;
}

void lamb_first(const Lamb& options, const UpdateRange& range, std::span<float> first,
                std::span<float> second, LambNorms* norms) {
  const std::int64_t n = std::ssize(range.master);
  const std::int64_t blocks = std::min(kMostSums, cuda::blocks_for(n, kThreads * kPack));
  auto* partial = static_cast<LambNorms*>(
      current_stream().scratch(kMostSums * static_cast<std::int64_t>(sizeof(LambNorms))));
  cuda::launch("lamb_moments", lamb_moments_kernel, dim3(static_cast<unsigned>(blocks)), kThreads,
               0, Range(range), LambStep(options, range), matrix_of_span(first),
               matrix_of_span(second), n, partial);
  if (norms)
    cuda::launch("lamb_moments", add_norms, dim3(1), kThreads, 0,
                 static_cast<const LambNorms*>(partial), blocks, norms);
}

struct LambApply {
  Range range;
  LambStep step;
  Matrix first, second;
  LambFactor factor_of;
  const LambNorms* norms;
  __device__ void operator()(const Pack& at) const {
    const float factor = factor_of(*norms);
    float p[kPack];
    float m[kPack];
    float v[kPack];
    cuda::load(range.p, 0, at.column, at.count, p);
    cuda::load(first, 0, at.column, at.count, m);
    cuda::load(second, 0, at.column, at.count, v);
    for (int k = 0; k < kPack; ++k) p[k] = std::fma(factor, step.direction(p[k], m[k], v[k]), p[k]);
    range.write(at, p);
  }
};

void lamb_second(const Lamb& options, std::int64_t step, const LambNorms* norms,
                 const UpdateRange& range, std::span<const float> first,
                 std::span<const float> second) {
  cuda::for_packs("lamb_apply", packs_of(range),
                  LambApply{Range(range), LambStep(options, range), matrix_of_span(first),
                            matrix_of_span(second), LambFactor(options, step, range), norms});
}

}  // namespace

void provide_optimizer(DeviceKernels& kernels) {
  kernels.adam_update = adam;
  kernels.sgd_update = sgd;
  kernels.lion_update = lion;
  kernels.lamb_moments = lamb_first;
  kernels.lamb_apply = lamb_second;
}

}  // namespace trireme::kernels
