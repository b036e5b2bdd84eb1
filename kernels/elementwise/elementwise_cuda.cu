#include "kernels/base/device_kernel.cuh"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/columns_cuda.hpp"

#include <cmath>
#include <vector>

namespace trireme::kernels {
namespace {

using cuda::kPack;
using cuda::kThreads;
using cuda::Matrix;
using cuda::matrix_of;
using cuda::Pack;
using cuda::Packs;

// ---- one pass over memory
// --------------------------------------------------------------------------

struct Convert {
  Matrix source, target;
  __device__ void operator()(const Pack& p) const {
    float v[kPack];
    cuda::load(source, p.row, p.column, p.count, v);
    cuda::store(target, p.row, p.column, p.count, v);
  }
};

struct Fill {
  Matrix x;
  float value;
  __device__ void operator()(const Pack& p) const {
    float v[kPack];
    for (float& element : v) element = value;
    cuda::store(x, p.row, p.column, p.count, v);
  }
};

struct Scale {
  Matrix x;
  float factor;
  __device__ void operator()(const Pack& p) const {
    float v[kPack];
    cuda::load(x, p.row, p.column, p.count, v);
    for (float& element : v) element *= factor;
    cuda::store(x, p.row, p.column, p.count, v);
  }
};

struct AddViews {
  Matrix a, b, out;
  __device__ void operator()(const Pack& p) const {
    float x[kPack];
    float y[kPack];
    cuda::load(a, p.row, p.column, p.count, x);
    cuda::load(b, p.row, p.column, p.count, y);
    for (int k = 0; k < kPack; ++k) x[k] += y[k];
    cuda::store(out, p.row, p.column, p.count, x);
  }
};

struct AddScaled {
  Matrix source, target;
  float factor;
  __device__ void operator()(const Pack& p) const {
    float x[kPack];
    float old[kPack];
    cuda::load(source, p.row, p.column, p.count, x);
    cuda::load(target, p.row, p.column, p.count, old);
    for (int k = 0; k < kPack; ++k) old[k] = std::fma(factor, x[k], old[k]);
    cuda::store(target, p.row, p.column, p.count, old);
  }
};

std::size_t bytes_of(std::int64_t elements, DType type) {
  return static_cast<std::size_t>(elements) * size_of(type);
}

bool is_dense(const TensorView& view) { return view.stride() == view.width() || view.rows() == 1; }

cudaStream_t stream_handle() { return static_cast<cudaStream_t>(current_stream().handle()); }

void copy_views(const TensorView& source, const TensorView& target) {
  if (source.elements() == 0) return;
  if (source.dtype != target.dtype)
    return cuda::for_packs("copy", Packs::of({&source, &target}),
                           Convert{matrix_of(source), matrix_of(target)});
  // Rows of a two-dimensional copy are at most 2 GiB apart: flat buffers go the other way.
  if (is_dense(source) && is_dense(target))
    return copy_bytes(target.data, source.data, source.bytes());
  expect_cuda(cudaMemcpy2DAsync(target.data, bytes_of(target.stride(), target.dtype), source.data,
                                bytes_of(source.stride(), source.dtype),
                                bytes_of(source.width(), source.dtype),
                                static_cast<std::size_t>(source.rows()), cudaMemcpyDeviceToDevice,
                                stream_handle()),
              "copy");
}

void fill_view(const TensorView& x, float value) {
  if (x.elements() == 0) return;
  if (std::bit_cast<std::uint32_t>(value) != 0)
    return cuda::for_packs("fill", Packs::of({&x}), Fill{matrix_of(x), value});
  if (is_dense(x))
    return expect_cuda(
        cudaMemsetAsync(x.data, 0, static_cast<std::size_t>(x.bytes()), stream_handle()), "fill");
  expect_cuda(
      cudaMemset2DAsync(x.data, bytes_of(x.stride(), x.dtype), 0, bytes_of(x.width(), x.dtype),
                        static_cast<std::size_t>(x.rows()), stream_handle()),
      "fill");
}

void scale_view(const TensorView& x, float factor) {
  cuda::for_packs("scale", Packs::of({&x}), Scale{matrix_of(x), factor});
}

void add_views(const TensorView& a, const TensorView& b, const TensorView& out) {
  cuda::for_packs("add", Packs::of({&a, &b, &out}),
                  AddViews{matrix_of(a), matrix_of(b), matrix_of(out)});
}

void add_scaled_view(const TensorView& source, float factor, const TensorView& target) {
  cuda::for_packs("add_scaled", Packs::of({&source, &target}),
                  AddScaled{matrix_of(source), matrix_of(target), factor});
}

// ---- sums of everything
// ----------------------------------------------------------------------------

struct Square {
  using Sum = double;
  __device__ double operator()(float x) const {
    const double value = x;  // 24 bits squared fit 53: the product is exact
    return value * value;
  }
};
struct NonFinite {
  using Sum = long long;
  __device__ long long operator()(float x) const {
    constexpr std::uint32_t kExponent = 0x7f800000u;
    return (std::bit_cast<std::uint32_t>(x) & kExponent) == kExponent ? 1 : 0;
  }
};

constexpr std::int64_t kMostSums = kSumWorkspace / sizeof(double);

/// partial[block] <- sum of term(x) over every blocks-th group of packs.
template <class Term>
__global__ void sum_packs(Matrix x, Packs packs, typename Term::Sum* partial) {
  typename Term::Sum sum = 0;
  cuda::for_own_packs(packs, [&](const Pack& p) {
    float v[kPack];
    cuda::load(x, p.row, p.column, p.count, v);
    for (const float value : v) sum += Term{}(value);  // zeros behind the end add nothing
  });
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <class Term>
typename Term::Sum sum_of(const char* what, const TensorView& x) {
  using Sum = typename Term::Sum;
  static_assert(sizeof(Sum) <= sizeof(double));
  const Packs packs = Packs::of({&x});
  if (packs.count == 0) return 0;
  const std::int64_t blocks = std::min(kMostSums, cuda::blocks_for(packs.count, kThreads));
  Stream& stream = current_stream();
  auto* partial = static_cast<Sum*>(stream.scratch(what, kSumWorkspace));
  cuda::launch(what, sum_packs<Term>, dim3(static_cast<unsigned>(blocks)), kThreads, 0,
               matrix_of(x), packs, partial);
  Sum sums[kMostSums];
  copy_bytes(sums, partial, blocks * static_cast<std::int64_t>(sizeof(Sum)));
  stream.wait();
  Sum total = 0;
  for (std::int64_t i = 0; i < blocks; ++i) total += sums[i];
  return total;
}

double squares(const TensorView& x) { return sum_of<Square>("sum_of_squares", x); }
std::int64_t non_finite(const TensorView& x) { return sum_of<NonFinite>("count_non_finite", x); }

// ---- sums over rows
// --------------------------------------------------------------------------------

constexpr int kColumnThreads = 128;

/// Block (part, group of columns): partial[part][column] <- sum over the part's rows.
__global__ void sum_rows(Matrix x, std::int64_t rows, std::int64_t width, std::int64_t part_rows,
                         float* partial) {
  const std::int64_t column =
      (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kPack;
  if (column >= width) return;
  const std::int64_t left = width - column;
  const int count = left < kPack ? static_cast<int>(left) : kPack;
  const std::int64_t begin = blockIdx.x * part_rows;
  const std::int64_t end = begin + part_rows < rows ? begin + part_rows : rows;
  float sum[kPack] = {};
  for (std::int64_t row = begin; row < end; ++row) {
    float v[kPack];
    cuda::load(x, row, column, count, v);
    for (int k = 0; k < kPack; ++k) sum[k] += v[k];
  }
  cuda::store({reinterpret_cast<std::byte*>(partial), width, DType::f32}, blockIdx.x, column, count,
              sum);
}

__global__ void join_columns_kernel(const float* partial, std::int64_t parts, std::int64_t stride,
                                    std::int64_t width, float* out, bool accumulate) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= width) return;
  float sum = 0;  // the parts are added up first: what was there takes one rounding
  for (std::int64_t part = 0; part < parts; ++part) sum += partial[part * stride + c];
  out[c] = accumulate ? out[c] + sum : sum;
}

void sum_columns(const TensorView& x, const TensorView& out, bool accumulate) {
  const std::int64_t width = x.width();
  const DeviceRowParts parts(x.rows());
  auto* partial = static_cast<float*>(
      current_stream().scratch("column_sums", column_sums_workspace(x.rows(), width)));
  cuda::launch("column_sums", sum_rows,
               dim3(static_cast<unsigned>(parts.count),
                    static_cast<unsigned>(cuda::blocks_for(width, kColumnThreads * kPack))),
               kColumnThreads, 0, matrix_of(x), x.rows(), width, parts.size, partial);
  join_device_columns(partial, parts.count, width, width, static_cast<float*>(out.data),
                      accumulate);
}

}  // namespace

void join_device_columns(const float* partial, std::int64_t parts, std::int64_t stride,
                         std::int64_t width, float* out, bool accumulate) {
  cuda::launch("join_columns", join_columns_kernel,
               dim3(static_cast<unsigned>(cuda::blocks_for(width, kColumnThreads))), kColumnThreads,
               0, partial, parts, stride, width, out, accumulate);
}

void provide_elementwise(DeviceKernels& kernels) {
  kernels.copy = copy_views;
  kernels.fill = fill_view;
  kernels.scale = scale_view;
  kernels.add = add_views;
  kernels.add_scaled = add_scaled_view;
  kernels.sum_of_squares = squares;
  kernels.count_non_finite = non_finite;
  kernels.column_sums = sum_columns;
}

}  // namespace trireme::kernels
