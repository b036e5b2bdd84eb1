#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::kThreads;
using cuda::Matrix;
using cuda::Pack;
using cuda::Packs;

/// One row a member; its own lies apart.
struct SumMembers {
  Matrix own, others, target;
  int members, index;

  __device__ void term(int member, const Pack& p, float (&x)[kPack]) const {
    if (member == index)
      cuda::load(own, 0, p.column, p.count, x);
    else
      cuda::load(others, member < index ? member : member - 1, p.column, p.count, x);
  }
  __device__ void operator()(const Pack& p) const {
    float sum[kPack];
    term(0, p, sum);
    for (int member = 1; member < members; ++member) {
      float x[kPack];
      term(member, p, x);
      for (int k = 0; k < kPack; ++k) sum[k] += x[k];
    }
    cuda::store(target, 0, p.column, p.count, sum);
  }
};

__global__ void sum_doubles(const double* own, const double* others, std::int64_t stride,
                            int members, int index, double* target, std::int64_t count) {
  const std::int64_t e = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e >= count) return;
  double sum = index == 0 ? own[e] : others[e];
  for (int member = 1; member < members; ++member)
    sum += member == index ? own[e] : others[(member < index ? member : member - 1) * stride + e];
  target[e] = sum;
}

Matrix row_of(const void* data, std::int64_t stride, DType dtype) {
  return {static_cast<std::byte*>(const_cast<void*>(data)), stride, dtype};
}

void sum_parts(const MemberParts& parts, void* target, std::int64_t count, DType dtype) {
  if (dtype == DType::f64)
    return cuda::launch("ordered_sum", sum_doubles,
                        dim3(static_cast<unsigned>(cuda::blocks_for(count, kThreads))), kThreads, 0,
                        static_cast<const double*>(parts.own),
                        static_cast<const double*>(parts.others), parts.stride, parts.members,
                        parts.index, static_cast<double*>(target), count);
  cuda::for_packs("ordered_sum", Packs(1, count),
                  SumMembers{row_of(parts.own, 0, dtype), row_of(parts.others, parts.stride, dtype),
                             row_of(target, 0, dtype), parts.members, parts.index});
}

}  // namespace

void provide_ordered_sum(DeviceKernels& kernels) { kernels.ordered_sum = sum_parts; }

}  // namespace trireme::kernels
