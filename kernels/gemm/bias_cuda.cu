#include "kernels/gemm/bias_cuda.hpp"

#include "kernels/base/device_kernel.cuh"

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::Matrix;

struct AddBias {
  Matrix c, bias;
  __device__ void operator()(const cuda::Pack& p) const {
    float v[kPack];
    float added[kPack];
    cuda::load(c, p.row, p.column, p.count, v);
    cuda::load(bias, 0, p.column, p.count, added);
    for (int k = 0; k < kPack; ++k) v[k] += added[k];
    cuda::store(c, p.row, p.column, p.count, v);
  }
};

}  // namespace

void add_bias_on_device(const TensorView& c, const TensorView& bias) {
  cuda::for_packs("gemm_bias", cuda::Packs(c.rows(), c.width()),
                  AddBias{cuda::matrix_of(c), cuda::matrix_of(bias)});
}

}  // namespace trireme::kernels
