// D = alpha op(A) op(B) + beta C (+ bias of D's rows), column-major, then GELU of it or it times
// GELU's slope at aux, as NVIDIA's documentation of cublasLtMatmul says; sums in fp32. It refuses
// what the library documents as unsupported: sizes that do not fit, a leading dimension below the
// rows, a bias of another type than D, addresses below the alignment that the choice of the
// algorithm was told; in fp8 all but A^T B with whole lines of 16 bytes, a bias of 32 bits, and two
// operands of e5m2; an aux whose columns are not 8 elements aligned. And, as no documentation lists
// the types that GELU's algorithms have, GELU of all but D's type in fp32 and 16 bits.

#include "kernels/base/float8.hpp"

#include "validation/emulation/streams.hpp"

#include <cublasLt.h>

#include <algorithm>
#include <cmath>

struct cublasLtMatmulDescOpaque {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cublasOperation_t a = CUBLAS_OP_N;
  cublasOperation_t b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  cudaDataType_t bias_type = CUDA_R_32F;
  void* aux = nullptr;
  std::int64_t aux_stride = 0;
  cudaDataType_t aux_type = CUDA_R_32F;
  const float* scale_a = nullptr;
  const float* scale_b = nullptr;
};
struct cublasLtMatrixLayoutOpaque {
  cudaDataType_t type;
  std::int64_t rows, columns, stride;
};
struct cublasLtMatmulPreferenceOpaque {
  cublasLtMatmulAlgo_t choice{256, 256, 256, 256, 0};  // 256 bytes unless told otherwise
};

namespace {

float read(const void* data, cudaDataType_t type, std::int64_t at) {
  switch (type) {
    case CUDA_R_16F: return static_cast<float>(static_cast<const trireme::Float16*>(data)[at]);
    case CUDA_R_16BF: return static_cast<float>(static_cast<const trireme::BFloat16*>(data)[at]);
    case CUDA_R_8F_E4M3:
      return static_cast<float>(static_cast<const trireme::Float8E4M3*>(data)[at]);
    case CUDA_R_8F_E5M2:
      return static_cast<float>(static_cast<const trireme::Float8E5M2*>(data)[at]);
    default: return static_cast<const float*>(data)[at];
  }
}
bool is_fp8(cudaDataType_t type) { return type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2; }
std::int64_t bytes_of(cudaDataType_t type) { return is_fp8(type) ? 1 : type == CUDA_R_32F ? 4 : 2; }
void write(void* data, cudaDataType_t type, std::int64_t at, float value) {
  switch (type) {
    case CUDA_R_16F: static_cast<trireme::Float16*>(data)[at] = trireme::Float16(value); return;
    case CUDA_R_16BF: static_cast<trireme::BFloat16*>(data)[at] = trireme::BFloat16(value); return;
    default: static_cast<float*>(data)[at] = value;
  }
}

/// fp32 with 10 bits of mantissa.
float to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0xfffu + ((bits >> 13) & 1u)) & ~0x1fffu);
}

template <class T>
cublasStatus_t store(T& place, const void* value, std::size_t bytes) {
  if (bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&place, value, sizeof(T));
  return CUBLAS_STATUS_SUCCESS;
}

/// Rows and columns of op(matrix).
std::int64_t rows(const cublasLtMatrixLayoutOpaque& m, cublasOperation_t op) {
  return op == CUBLAS_OP_N ? m.rows : m.columns;
}
std::int64_t columns(const cublasLtMatrixLayoutOpaque& m, cublasOperation_t op) {
  return op == CUBLAS_OP_N ? m.columns : m.rows;
}
std::int64_t place(const cublasLtMatrixLayoutOpaque& m, cublasOperation_t op, std::int64_t row,
                   std::int64_t column) {
  return op == CUBLAS_OP_N ? row + column * m.stride : column + row * m.stride;
}

bool is_aligned(const void* p, std::uint32_t bytes) {
  return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* product, cublasComputeType_t compute,
                                        cudaDataType_t) {
  *product = new cublasLtMatmulDescOpaque{.compute = compute};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
  delete product;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return store(product->a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return store(product->b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return store(product->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return store(product->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER: return store(product->scale_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER: return store(product->scale_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return store(product->bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return store(product->aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return store(product->aux_stride, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE: return store(product->aux_type, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          std::uint64_t rows, std::uint64_t columns,
                                          std::int64_t stride) {
  *layout = new cublasLtMatrixLayoutOpaque{type, static_cast<std::int64_t>(rows),
                                           static_cast<std::int64_t>(columns), stride};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  cublasLtMatmulAlgo_t& c = preference->choice;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return CUBLAS_STATUS_SUCCESS;  // k is not cut
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return store(c.workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return store(c.align_a, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return store(c.align_b, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return store(c.align_c, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return store(c.align_d, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

namespace {

bool adds_bias(const cublasLtMatmulDescOpaque& how) {
  return how.epilogue != CUBLASLT_EPILOGUE_DEFAULT && (how.epilogue & CUBLASLT_EPILOGUE_BIAS);
}
bool uses_aux(const cublasLtMatmulDescOpaque& how) { return how.epilogue & 128; }

/// What CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD and _POINTER document.
bool is_gelu_product(const cublasLtMatmulDescOpaque& how, const cublasLtMatrixLayoutOpaque& a,
                     const cublasLtMatrixLayoutOpaque& d) {
  return how.aux && is_aligned(how.aux, 16) && how.aux_stride % 8 == 0 &&
         how.aux_stride >= d.rows && how.aux_type == d.type && a.type == d.type;
}

/// What cublasLtMatmul documents of 8-bit operands on Ada and Hopper.
bool is_fp8_product(const cublasLtMatmulDescOpaque& how, const cublasLtMatrixLayoutOpaque& a,
                    const cublasLtMatrixLayoutOpaque& b, const cublasLtMatrixLayoutOpaque& d,
                    const cublasLtMatmulAlgo_t& told) {
  constexpr std::int64_t kLine = 16;
  const auto whole = [](const cublasLtMatrixLayoutOpaque& m) {
    return m.rows % kLine == 0 && m.stride * bytes_of(m.type) % kLine == 0;
  };
  const bool bias = !adds_bias(how) || how.bias_type != CUDA_R_32F;
  return how.a == CUBLAS_OP_T && how.b == CUBLAS_OP_N && whole(a) && whole(b) && whole(d) &&
         a.columns % kLine == 0 && std::min({told.align_a, told.align_b, told.align_d}) >= kLine &&
         bias && (a.type == CUDA_R_8F_E4M3 || b.type == CUDA_R_8F_E4M3);
}

}  // namespace

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int,
                                              cublasLtMatmulHeuristicResult_t* found, int* count) {
  *count = 0;
  for (const cublasLtMatrixLayout_t m : {a, b, c, d})
    if (m->stride < m->rows) return CUBLAS_STATUS_INVALID_VALUE;
  if (rows(*a, product->a) != d->rows || columns(*b, product->b) != d->columns ||
      columns(*a, product->a) != rows(*b, product->b) || c->rows != d->rows ||
      c->columns != d->columns || c->type != d->type || is_fp8(a->type) != is_fp8(b->type) ||
      (!is_fp8(a->type) && a->type != b->type))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (adds_bias(*product) && product->bias_type != d->type) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (uses_aux(*product) && !is_gelu_product(*product, *a, *d)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (is_fp8(a->type)) {
    if (!is_fp8_product(*product, *a, *b, *d, preference->choice))
      return CUBLAS_STATUS_NOT_SUPPORTED;
  } else if (d->type != a->type && d->type != CUDA_R_32F) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  found->algo = preference->choice;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

namespace {

/// x Phi(x) with tanh, and its slope.
double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double gelu_slope(double x) {
  const double t = std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

/// One product with everything that the call's handles said, which may change once it is given.
struct Product {
  cublasLtMatmulDescOpaque how;
  cublasLtMatrixLayoutOpaque a_layout, b_layout, c_layout, d_layout;
  const void *a, *b, *c;
  void* d;
  float factor, keep;

  void operator()() const;
  /// The sum as it is stored, behind the epilogue.
  float finished(float sum, std::int64_t row, std::int64_t column) const;
};

float Product::finished(float sum, std::int64_t row, std::int64_t column) const {
  if (adds_bias(how)) sum += read(how.bias, how.bias_type, row);
  if (!uses_aux(how)) return sum;
  const std::int64_t at = row + column * how.aux_stride;
  if (how.epilogue == CUBLASLT_EPILOGUE_DGELU)
    return static_cast<float>(sum * gelu_slope(read(how.aux, how.aux_type, at)));
  write(how.aux, how.aux_type, at, sum);
  return static_cast<float>(gelu(sum));
}

void Product::operator()() const {
  const bool tf32 = how.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const std::int64_t depth = columns(a_layout, how.a);
  for (std::int64_t column = 0; column < d_layout.columns; ++column)
    for (std::int64_t row = 0; row < d_layout.rows; ++row) {
      float sum = 0;
      for (std::int64_t l = 0; l < depth; ++l) {
        const float x = read(a, a_layout.type, place(a_layout, how.a, row, l));
        const float y = read(b, b_layout.type, place(b_layout, how.b, l, column));
        sum = tf32 ? std::fma(to_tf32(x), to_tf32(y), sum) : std::fma(x, y, sum);
      }
      float result = factor * sum;
      if (how.scale_a) result *= *how.scale_a;
      if (how.scale_b) result *= *how.scale_b;
      if (keep != 0) result += keep * read(c, c_layout.type, row + column * c_layout.stride);
      write(d, d_layout.type, row + column * d_layout.stride, finished(result, row, column));
    }
}

}  // namespace

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* choice,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  // As the library does, without a word of the device.
  if (emulation::answer() != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (!is_aligned(a, choice->align_a) || !is_aligned(b, choice->align_b) ||
      !is_aligned(c, choice->align_c) || !is_aligned(d, choice->align_d) || !workspace ||
      workspace_bytes < choice->workspace ||
      (adds_bias(*product) && !is_aligned(product->bias, 16)) ||
      (uses_aux(*product) && !is_aligned(product->aux, 16)))
    return CUBLAS_STATUS_INVALID_VALUE;
  emulation::give(
      stream, emulation::make_work(Product{*product, *a_layout, *b_layout, *c_layout, *d_layout, a,
                                           b, c, d, *static_cast<const float*>(alpha),
                                           *static_cast<const float*>(beta)}));
  return CUBLAS_STATUS_SUCCESS;
}
