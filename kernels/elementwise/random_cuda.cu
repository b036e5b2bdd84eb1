// Dropout and initial values: the random words of the host, drawn by counter.

#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/device_dropout.cuh"
#include "kernels/elementwise/random_values.hpp"

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::Matrix;
using cuda::matrix_of;
using cuda::Pack;
using cuda::Packs;

struct Dropout {
  Matrix x, y;
  RowDropout dropout;
  std::int64_t width;
  __device__ void operator()(const Pack& p) const {
    float v[kPack];
    float factors[kPack];
    cuda::load(x, p.row, p.column, p.count, v);
    cuda::dropout_factors(dropout, p.row, width, p.column, factors);
    for (int k = 0; k < kPack; ++k) v[k] *= factors[k];
    cuda::store(y, p.row, p.column, p.count, v);
  }
};

void dropout_rows(const TensorView& x, const RowDropout& dropout, const TensorView& y) {
  cuda::for_packs("dropout", Packs(x.rows(), x.width()),
                  Dropout{matrix_of(x), matrix_of(y), dropout, x.width()});
}

template <class Values>
struct FillRandom {
  Matrix x;
  RandomSource source;
  std::int64_t logical_width;
  Values values;
  __device__ void operator()(const Pack& p) const {
    const std::int64_t first =
        (source.first_row + p.row) * logical_width + source.first_column + p.column;
    const Philox philox(source.seed);
    float out[kPack];
    std::array<float, 4> four{};
    for (int k = 0; k < kPack; ++k) {
      const std::int64_t element = first + k;
      if (k == 0 || element % 4 == 0)
        four = values(philox.at(static_cast<std::uint64_t>(element) / 4, source.stream));
      out[k] = four[static_cast<std::size_t>(element % 4)];
    }
    cuda::store(x, p.row, p.column, p.count, out);
  }
};

template <class Values>
void fill_random(const TensorView& x, const RandomSource& source, const Values& values) {
  const std::int64_t logical = source.logical_width != 0 ? source.logical_width : x.width();
  cuda::for_packs("fill_random", Packs(x.rows(), x.width()),
                  FillRandom<Values>{matrix_of(x), source, logical, values});
}

void normal(const TensorView& x, float mean, float deviation, const RandomSource& source) {
  fill_random(x, source, NormalValues{mean, deviation});
}

void uniform(const TensorView& x, float low, float high, const RandomSource& source) {
  fill_random(x, source, UniformValues{low, high, std::nextafter(high, low)});
}

}  // namespace

void provide_random(DeviceKernels& kernels) {
  kernels.apply_dropout = dropout_rows;
  kernels.fill_normal = normal;
  kernels.fill_uniform = uniform;
}

}  // namespace trireme::kernels
