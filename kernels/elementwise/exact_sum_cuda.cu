// The exact sum of squares: blocks of kNormBlock elements in the host's order, then whole numbers,
// whose sums have no order.

#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/wide_sum.hpp"

#include <cmath>
#include <limits>

namespace trireme::kernels {
namespace {

using cuda::kThreads;
using Digit = unsigned long long;

constexpr int kLanes = 16;            // interleaved sums of a block of elements, as on the host
constexpr int kOwn = 4;               // neighbouring ones of them a thread keeps: 16 bytes a load
constexpr int kTeam = kLanes / kOwn;  // threads that share a block
constexpr unsigned kInfinite = 1;
constexpr unsigned kNotANumber = 2;

/// What a block of threads found: digits below 2^32 each, and what is not finite.
struct Partial {
  Digit digits[kExactLimbs];
  unsigned flags;
};
constexpr std::int64_t kMostBlocks = kExactSquaresWorkspace / sizeof(Partial);

__device__ void carry(Digit (&digits)[kExactLimbs]) {
  Digit over = 0;
  for (Digit& digit : digits) {
    digit += over;
    over = digit >> kDigitBits;
    digit &= kDigitMask;
  }
}

/// Elements [at, at + kOwn) of those [lead, total) that x holds; the others are zeros.
__device__ void load_own(const float* x, std::int64_t at, std::int64_t lead, std::int64_t total,
                         float (&out)[kOwn]) {
  if (at >= lead && at + kOwn <= total && cuda::is_aligned(x + (at - lead))) {
    const auto all = *reinterpret_cast<const cuda::FourFloats*>(x + (at - lead));
    for (int k = 0; k < kOwn; ++k) out[k] = all.value[k];
  } else {
    for (int k = 0; k < kOwn; ++k)
      out[k] = at + k >= lead && at + k < total ? x[at + k - lead] : 0.0f;
  }
}

/// The sum of a norm block, for all threads of its team, in the order of the host's.
__device__ double square_block(const float* x, std::int64_t start, std::int64_t lead,
                               std::int64_t total, int member) {
  double sum[kOwn] = {};
  for (std::int64_t i = 0; i < kNormBlock; i += kLanes) {
    float v[kOwn];
    load_own(x, start + i + member * kOwn, lead, total, v);
    for (int k = 0; k < kOwn; ++k) sum[k] += static_cast<double>(v[k]) * static_cast<double>(v[k]);
  }
  // Sums 8 and 4 apart are another thread's, those 2 and 1 apart its own.
  for (int half = kTeam / 2; half > 0; half /= 2)
    for (double& own : sum) own += __shfl_xor_sync(0xffffffffu, own, half);
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/// x is elements [lead, total) of its first norm block and those after it; a team a norm block.
__global__ void sum_blocks(const float* x, std::int64_t lead, std::int64_t total,
                           Partial* partial) {
  __shared__ Digit digits[kExactLimbs];
  __shared__ unsigned flags;
  if (threadIdx.x < kExactLimbs) digits[threadIdx.x] = 0;
  if (threadIdx.x == 0) flags = 0;
  __syncthreads();
  const std::int64_t teams = static_cast<std::int64_t>(gridDim.x) * blockDim.x / kTeam;
  const std::int64_t first =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kTeam;
  const auto member = static_cast<int>(threadIdx.x % kTeam);
  const std::int64_t blocks = (total + kNormBlock - 1) / kNormBlock;
  const std::int64_t rounds = (blocks + teams - 1) / teams;
  for (std::int64_t round = 0; round < rounds; ++round) {  // as many for all: shuffles below
    const std::int64_t start = (first + round * teams) * kNormBlock;
    const double sum = square_block(x, start, lead, total, member);
    if (member != 0) continue;
    const WideDigits wide = wide_digits(sum);
    if (!wide.finite) {
      atomicOr(&flags, sum != sum ? kNotANumber : kInfinite);
    } else {
      for (int k = 0; k < 3; ++k)
        if (wide.digit[k] != 0) atomicAdd(&digits[wide.at + k], static_cast<Digit>(wide.digit[k]));
    }
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  carry(digits);
  Partial& out = partial[blockIdx.x];
  for (int k = 0; k < kExactLimbs; ++k) out.digits[k] = digits[k];
  out.flags = flags;
}

__device__ double unit(int k) { return std::ldexp(1.0, kDigitBits * k + kLeastExponent); }

/// One thread: limbs <- limbs + all partial sums.
__global__ void add_to_limbs(const Partial* partial, std::int64_t count, double* limbs) {
  Digit digits[kExactLimbs];
  unsigned flags = 0;
  for (int k = 0; k < kExactLimbs; ++k) {
    const double limb = limbs[k];
    if (k + 1 == kExactLimbs && !(limb <= std::numeric_limits<double>::max())) {
      flags = limb != limb ? kNotANumber : kInfinite;
      digits[k] = 0;
    } else {
      digits[k] = static_cast<Digit>(limb / unit(k));
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    for (int k = 0; k < kExactLimbs; ++k) digits[k] += partial[i].digits[k];
    flags |= partial[i].flags;
  }
  carry(digits);
  for (int k = 0; k < kExactLimbs; ++k) limbs[k] = static_cast<double>(digits[k]) * unit(k);
  if (flags & kNotANumber)
    limbs[kExactLimbs - 1] = std::numeric_limits<double>::quiet_NaN();
  else if (flags & kInfinite)
    limbs[kExactLimbs - 1] = std::numeric_limits<double>::infinity();
}

void add_squares(std::span<const float> x, std::int64_t first, std::span<double> limbs,
                 MemorySpace) {
  const std::int64_t lead = first % kNormBlock;
  const std::int64_t total = lead + std::ssize(x);
  const std::int64_t blocks =
      std::min(kMostBlocks, cuda::blocks_for(total, kNormBlock * (kThreads / kTeam)));
  auto* partial =
      static_cast<Partial*>(current_stream().scratch("add_exact_squares", kExactSquaresWorkspace));
  cuda::launch("add_exact_squares", sum_blocks, dim3(static_cast<unsigned>(blocks)), kThreads, 0,
               x.data(), lead, total, partial);
  cuda::launch("add_exact_squares", add_to_limbs, dim3(1), 1, 0,
               static_cast<const Partial*>(partial), blocks, limbs.data());
}

}  // namespace

void provide_exact_sum(DeviceKernels& kernels) { kernels.add_exact_squares = add_squares; }

}  // namespace trireme::kernels
