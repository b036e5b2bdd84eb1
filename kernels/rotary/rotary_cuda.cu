#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::Matrix;
using cuda::matrix_of;

/// Packs are of the first halves of heads: row r of the packs is head r % heads of token r / heads.
struct Rotate {
  Matrix x;
  const float* table;  ///< [positions, head_dim]: cosines, sines
  const std::int32_t* positions;
  std::int64_t heads, head_dim, seq;
  float sign;
  __device__ void operator()(const cuda::Pack& p) const {
    const std::int64_t token = p.row / heads;
    const std::int64_t half = head_dim / 2;
    const std::int64_t column = p.row % heads * head_dim + p.column;
    const std::int64_t position = positions ? positions[token] : token % seq;
    const Matrix angles{reinterpret_cast<std::byte*>(const_cast<float*>(table)), head_dim,
                        DType::f32};
    float a[kPack];
    float b[kPack];
    float cosine[kPack];
    float sine[kPack];
    cuda::load(x, token, column, p.count, a);
    cuda::load(x, token, column + half, p.count, b);
    cuda::load(angles, position, p.column, p.count, cosine);
    cuda::load(angles, position, half + p.column, p.count, sine);
    for (int k = 0; k < kPack; ++k) {
      const float s = sign * sine[k];
      const float turned = a[k] * cosine[k] - b[k] * s;
      b[k] = b[k] * cosine[k] + a[k] * s;
      a[k] = turned;
    }
    cuda::store(x, token, column, p.count, a);
    cuda::store(x, token, column + half, p.count, b);
  }
};

void rotate(const TensorView& x, const RotaryTable& table, std::int64_t seq, Rotation rotation,
            const TensorView& positions) {
  const std::int64_t heads = x.width() / table.head_dim();
  cuda::for_packs(
      "rotary", cuda::Packs(x.rows() * heads, table.head_dim() / 2),
      Rotate{matrix_of(x), table.device_values(), static_cast<const std::int32_t*>(positions.data),
             heads, table.head_dim(), seq, rotation == Rotation::forward ? 1.0f : -1.0f});
}

}  // namespace

void provide_rotary(DeviceKernels& kernels) { kernels.rotary = rotate; }

}  // namespace trireme::kernels
