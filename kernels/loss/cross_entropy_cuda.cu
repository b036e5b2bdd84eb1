#include "kernels/base/device_kernel.cuh"
#include "kernels/base/vector_math.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/loss/formulas.hpp"

#include <cmath>
#include <limits>
#include <span>
#include <vector>

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::kThreads;
using cuda::Matrix;
using cuda::matrix_of;

struct Larger {
  constexpr float operator()(float a, float b) const { return a > b ? a : b; }
};

/// Where every logit so far is -inf (or NaN) any shift does; 0 avoids inf - inf.
__device__ float shift_of(float most) { return most == kMinusInfinity ? 0.0f : most; }

/// One block a row, which is read once: each thread keeps its maximum and its sum relative to that.
__global__ void statistics_kernel(Matrix logits, const std::int32_t* targets, VocabularyShard shard,
                                  float* out) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t columns = shard.valid_columns;
  float most = kMinusInfinity;
  float sum = 0;
  for (std::int64_t column = static_cast<std::int64_t>(threadIdx.x) * kPack; column < columns;
       column += static_cast<std::int64_t>(blockDim.x) * kPack) {
    const std::int64_t left = columns - column;
    const int count = left < kPack ? static_cast<int>(left) : kPack;
    float x[kPack];
    cuda::load(logits, row, column, count, x);
    float larger = most;
    for (int k = 0; k < count; ++k) larger = Larger{}(x[k], larger);  // passes over NaN
    if (larger > most) {
      sum *= vector_exp(most - larger);
      most = larger;
    }
    for (int k = 0; k < count; ++k) sum += vector_exp(x[k] - shift_of(most));
  }
  const float all = cuda::block_join(most, Larger{});
  // A thread without columns, or with -inf alone, has a sum of 0 unless it met a NaN.
  const bool keeps = most == all || most == kMinusInfinity;
  const float total = cuda::block_sum(keeps ? sum : sum * vector_exp(most - all));
  if (threadIdx.x != 0) return;
  const std::int64_t mine = target_column(targets[row], shard);
  float wanted[kPack] = {kAbsent};
  if (mine >= 0) cuda::load(logits, row, mine, 1, wanted);
  out[3 * row] = columns == 0 ? kAbsent : all;
  out[3 * row + 1] = total;
  out[3 * row + 2] = wanted[0];
}

void statistics(const TensorView& logits, const TensorView& targets, const VocabularyShard& shard,
                const TensorView& out) {
  cuda::launch("cross_entropy", statistics_kernel, dim3(static_cast<unsigned>(logits.rows())),
               kThreads, 0, matrix_of(logits), static_cast<const std::int32_t*>(targets.data),
               shard, static_cast<float*>(out.data));
}

struct Sums {
  double loss;
  long long tokens;
  long long outside;  ///< targets that are no ids
};

__global__ void combine_kernel(const float* from, std::int64_t ranks, const std::int32_t* targets,
                               std::int64_t tokens, std::int64_t vocabulary, float* losses,
                               float* normalizer, Sums* partial) {
  const std::int64_t token = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  Sums own{0, 0, 0};
  if (token < tokens) {
    const double nats = combine_token(from, ranks, tokens, token, normalizer + 2 * token);
    const std::int32_t target = targets[token];
    const bool counted = target != kIgnoredTarget;
    if (losses) losses[token] = counted ? static_cast<float>(nats) : 0.0f;
    if (counted) own = {nats, 1, target < 0 || target >= vocabulary ? 1 : 0};
  }
  const double loss = cuda::block_sum(own.loss);
  const long long counted = cuda::block_sum(own.tokens);
  const long long outside = cuda::block_sum(own.outside);
  if (threadIdx.x == 0) partial[blockIdx.x] = {loss, counted, outside};
}

/// One thread: the sums of all blocks, in their order.
__global__ void total_kernel(const Sums* partial, std::int64_t blocks, bool accumulate,
                             double* total) {
  Sums all{0, 0, 0};
  for (std::int64_t i = 0; i < blocks; ++i) {
    all.loss += partial[i].loss;
    all.outside += partial[i].outside;
  }
  const double loss = all.outside > 0 ? std::numeric_limits<double>::quiet_NaN() : all.loss;
  *total = (accumulate ? *total : 0.0) + loss;
}

/// Sums of blocks in the stream's scratch memory; tokens > 0.
std::span<Sums> combine_blocks(const TensorView& statistics, const TensorView& targets,
                               std::int64_t vocabulary, const TensorView& loss,
                               const TensorView& normalizer) {
  const std::int64_t tokens = targets.elements();
  const std::int64_t blocks = cuda::blocks_for(tokens, kThreads);
  static_assert(cross_entropy_workspace(kThreads) == sizeof(Sums) &&
                cross_entropy_workspace(kThreads + 1) == 2 * sizeof(Sums));
  auto* partial = static_cast<Sums*>(
      current_stream().scratch("cross_entropy", cross_entropy_workspace(tokens)));
  cuda::launch("cross_entropy_combine", combine_kernel, dim3(static_cast<unsigned>(blocks)),
               kThreads, 0, static_cast<const float*>(statistics.data),
               statistics.elements() / (3 * tokens), static_cast<const std::int32_t*>(targets.data),
               tokens, vocabulary, static_cast<float*>(loss.data),
               static_cast<float*>(normalizer.data), partial);
  return {partial, static_cast<std::size_t>(blocks)};
}

LossSum combine(const TensorView& statistics, const TensorView& targets, std::int64_t vocabulary,
                const TensorView& loss, const TensorView& normalizer) {
  if (targets.elements() == 0) return {};
  const auto partial = combine_blocks(statistics, targets, vocabulary, loss, normalizer);
  thread_local std::vector<Sums> sums;  // grows to its largest need
  sums.resize(partial.size());
  copy_bytes(sums.data(), partial.data(), static_cast<std::int64_t>(partial.size_bytes()));
  current_stream().wait();
  Sums all{0, 0, 0};
  for (const Sums& s : sums)
    all = {all.loss + s.loss, all.tokens + s.tokens, all.outside + s.outside};
  expect_targets(all.outside, vocabulary);
  return {all.loss, all.tokens};
}

void total(const TensorView& statistics, const TensorView& targets, std::int64_t vocabulary,
           const TensorView& normalizer, const TensorView& sum, bool accumulate) {
  std::span<Sums> partial;
  if (targets.elements() > 0)
    partial = combine_blocks(statistics, targets, vocabulary, {}, normalizer);
  cuda::launch("cross_entropy_total", total_kernel, dim3(1), 1, 0,
               static_cast<const Sums*>(partial.data()), std::ssize(partial), accumulate,
               static_cast<double*>(sum.data));
}

struct Gradient {
  Matrix logits;
  const std::int32_t* targets;
  VocabularyShard shard;
  const float* normalizer;
  float scale;
  __device__ void operator()(const cuda::Pack& p) const {
    const std::int32_t target = targets[p.row];
    const std::int64_t mine = target_column(target, shard);
    const std::int64_t valid = target != kIgnoredTarget ? shard.valid_columns : 0;
    const float most = normalizer[2 * p.row];
    const float factor = scale / normalizer[2 * p.row + 1];
    float x[kPack];
    cuda::load(logits, p.row, p.column, p.count, x);
    for (int k = 0; k < kPack; ++k) {
      const std::int64_t column = p.column + k;
      x[k] = column < valid ? vector_exp(x[k] - most) * factor : 0.0f;
      if (column == mine) x[k] -= scale;
    }
    cuda::store(logits, p.row, p.column, p.count, x);
  }
};

void gradient(const TensorView& logits, const TensorView& targets, const VocabularyShard& shard,
              const TensorView& normalizer, float scale) {
  cuda::for_packs("cross_entropy_gradient", cuda::Packs(logits.rows(), logits.width()),
                  Gradient{matrix_of(logits), static_cast<const std::int32_t*>(targets.data), shard,
                           static_cast<const float*>(normalizer.data), scale});
}

}  // namespace

void provide_loss(DeviceKernels& kernels) {
  kernels.cross_entropy_statistics = statistics;
  kernels.cross_entropy_combine = combine;
  kernels.cross_entropy_total = total;
  kernels.cross_entropy_gradient = gradient;
}

}  // namespace trireme::kernels
