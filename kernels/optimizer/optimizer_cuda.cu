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
struct Operands {
  Matrix p, g, copy;
  explicit Operands(const UpdateRange& range)
      : p(matrix_of_span(range.master)),
        g(matrix_of_span(range.gradient)),
        copy(matrix_of(range.weights)) {}
  __device__ void write(const Pack& at, const float (&weights)[kPack]) const {
    cuda::store(p, 0, at.column, at.count, weights);
    if (copy.data) cuda::store(copy, 0, at.column, at.count, weights);
  }
};

/// Where weight decay ends and begins again, as a kernel's argument: the first element of a range
/// without it, the first behind, and so on; a kernel's arguments have 4 KiB.
constexpr std::size_t kMostRanges = 64;
struct DecayEdges {
  std::int64_t at[2 * kMostRanges];
  int count = 0;

  explicit DecayEdges(std::span<const Range> undecayed, std::int64_t origin) {
    for (const Range& range : undecayed) {
      at[count++] = range.begin - origin;
      at[count++] = range.end - origin;
    }
  }
  /// How many edges are no later than `element`: an even number, and it decays.
  __device__ int before(std::int64_t element) const {
    int low = 0;
    for (int high = count; low < high;) {
      const int middle = (low + high) / 2;
      if (at[middle] <= element)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }
};

/// step(p, g, moments...) for every element; kMoments of them are read and written.
template <class Step, int kMoments>
struct Update {
  Operands range;
  Step step;
  Step plain;  ///< without weight decay
  DecayEdges edges;
  Matrix moments[kMoments > 0 ? kMoments : 1];
  __device__ void operator()(const Pack& at) const {
    float p[kPack];
    float g[kPack];
    float m[kMoments > 0 ? kMoments : 1][kPack];
    cuda::load(range.p, 0, at.column, at.count, p);
    cuda::load(range.g, 0, at.column, at.count, g);
    for (int i = 0; i < kMoments; ++i) cuda::load(moments[i], 0, at.column, at.count, m[i]);
    int edge = edges.before(at.column);
    for (int k = 0; k < kPack; ++k) {
      while (edge < edges.count && edges.at[edge] <= at.column + k) ++edge;
      const Step now = edge % 2 == 0 ? step : plain;
      if constexpr (kMoments == 0)
        now(p[k], g[k]);
      else if constexpr (kMoments == 1)
        now(p[k], g[k], m[0][k]);
      else
        now(p[k], g[k], m[0][k], m[1][k]);
    }
    range.write(at, p);
    for (int i = 0; i < kMoments; ++i) cuda::store(moments[i], 0, at.column, at.count, m[i]);
  }
};

/// Elements [part.begin, part.end) alone.
UpdateRange part_of(const UpdateRange& range, const Range& part) {
  const auto at = static_cast<std::size_t>(part.begin);
  const auto n = static_cast<std::size_t>(part.size());
  UpdateRange out = range;
  out.master = range.master.subspan(at, n);
  out.gradient = range.gradient.subspan(at, n);
  if (range.weights) out.weights = range.weights.column_slice(part.begin, part.size());
  return out;
}

/// One launch for every kMostRanges ranges without decay: up to where the next launch's begin.
template <class Step, std::size_t kMoments>
void update(const char* what, const UpdateRange& range, const Step& step,
            const std::array<std::span<float>, kMoments>& moments) {
  std::span<const Range> left = range.undecayed;
  for (Range part{0, 0}; part.end < std::ssize(range.master); part.begin = part.end) {
    const std::span<const Range> now = left.first(std::min(left.size(), kMostRanges));
    left = left.subspan(now.size());
    part.end = left.empty() ? std::ssize(range.master) : left.front().begin;
    Update<Step, static_cast<int>(kMoments)> each{Operands(part_of(range, part)),
                                                  step,
                                                  step.without_decay(),
                                                  DecayEdges(now, part.begin),
                                                  {}};
    int n = 0;
    for (const std::span<float> all : moments)
      each.moments[n++] = matrix_of_span(all.subspan(static_cast<std::size_t>(part.begin)));
    cuda::for_packs(what, Packs(1, part.size()), each);
  }
}

Packs packs_of(const UpdateRange& range) { return Packs(1, std::ssize(range.master)); }

void adam(const Adam& options, std::int64_t step, const UpdateRange& range, std::span<float> first,
          std::span<float> second) {
  update("adam", range, AdamStep(options, step, range), std::array{first, second});
}

void sgd(const Sgd& options, std::int64_t step, const UpdateRange& range,
         std::span<float> momentum) {
  const SgdStep formula(options, step, range);
  if (options.momentum == 0)
    update("sgd", range, formula, std::array<std::span<float>, 0>{});
  else
    update("sgd", range, formula, std::array{momentum});
}

void lion(const Lion& options, const UpdateRange& range, std::span<float> first) {
  update("lion", range, LionStep(options, range), std::array{first});
}

// ---- LAMB
// ------------------------------------------------------------------------------------------

constexpr std::int64_t kMostSums = kLambMomentsWorkspace / sizeof(LambNorms);

__global__ void lamb_moments_kernel(Operands range, LambStep step, Matrix first, Matrix second,
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
  auto* partial =
      static_cast<LambNorms*>(current_stream().scratch("lamb_moments", kLambMomentsWorkspace));
  cuda::launch("lamb_moments", lamb_moments_kernel, dim3(static_cast<unsigned>(blocks)), kThreads,
               0, Operands(range), LambStep(options, range), matrix_of_span(first),
               matrix_of_span(second), n, partial);
  if (norms)
    cuda::launch("lamb_moments", add_norms, dim3(1), kThreads, 0,
                 static_cast<const LambNorms*>(partial), blocks, norms);
}

struct LambApply {
  Operands range;
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
                  LambApply{Operands(range), LambStep(options, range), matrix_of_span(first),
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
