// Dense products on NVIDIA GPUs, by cuBLASLt: a plan a shape, made at the first call with it.

#include "kernels/base/device_cuda.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/gemm/bias_cuda.hpp"
#include "kernels/gemm/product.hpp"

#include <cublasLt.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <unordered_map>

namespace trireme::kernels {
namespace {

constexpr std::int64_t kWorkspace = std::int64_t{32}
                                    << 20;  // what Hopper's fastest kernels ask for

void expect_cublas(cublasStatus_t status, const char* what) {
  check(status == CUBLAS_STATUS_SUCCESS, Exit::kUnexpected, "{}: cuBLASLt says {}", what,
        static_cast<int>(status));
}

cublasLtHandle_t handle() {
  static const cublasLtHandle_t instance = [] {
    cublasLtHandle_t made = nullptr;
    expect_cublas(cublasLtCreate(&made), "starting cuBLASLt");
    return made;
  }();
  return instance;
}

cudaDataType_t type_of(DType type) {
  switch (type) {
    case DType::f32: return CUDA_R_32F;
    case DType::bf16: return CUDA_R_16BF;
    case DType::f16: return CUDA_R_16F;
    default:
      fail(Exit::kUnexpected, "expected f32, bf16 or f16 in a product, found {}", name_of(type));
  }
}

/// Bytes that divide an address, at most 256: fast kernels want 16.
std::uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  return std::uint32_t{1} << std::min(8, std::countr_zero(address | 256));
}

/// What a plan depends on. `bias` only where the library adds it.
struct Key {
  ProductKey product;
  std::uint32_t align_a, align_b, align_c;
  bool tf32;
  friend bool operator==(const Key&, const Key&) = default;
};

struct HashKey {
  std::size_t operator()(const Key& key) const {
    ProductHash hash(key.product);
    hash.mix(key.align_a | std::uint64_t{key.align_b} << 16 | std::uint64_t{key.align_c} << 32 |
             std::uint64_t{key.tf32} << 48);
    return hash.value();
  }
};

/// cuBLASLt counts columns first. A row-major matrix is its transpose there, so that
/// c^T [n, m] = op(b)^T op(a)^T: b is the library's first operand, a its second.
class Plan {
 public:
  explicit Plan(const Key& key) {
    const ProductKey& p = key.product;
    const cublasComputeType_t compute =
        key.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    expect_cublas(cublasLtMatmulDescCreate(&product_, compute, CUDA_R_32F), "a product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (p.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(*p.bias));
    }
    first_ = layout(p.operand, p.transpose_b ? p.k : p.n, p.transpose_b ? p.n : p.k, p.ldb);
    second_ = layout(p.operand, p.transpose_a ? p.m : p.k, p.transpose_a ? p.k : p.m, p.lda);
    result_ = layout(p.result, p.n, p.m, p.ldc);
    choose(key);
  }
  ~Plan() {
    cublasLtMatrixLayoutDestroy(result_);
    cublasLtMatrixLayoutDestroy(second_);
    cublasLtMatrixLayoutDestroy(first_);
    cublasLtMatmulDescDestroy(product_);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  void run(const ProductPointers& pointers, float alpha, bool accumulate) {
    if (pointers.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, pointers.bias);
    const float beta = accumulate ? 1.0f : 0.0f;
    Stream& stream = current_stream();
    expect_cublas(
        cublasLtMatmul(handle(), product_, &alpha, pointers.b, first_, pointers.a, second_, &beta,
                       pointers.c, result_, pointers.c, result_, &algorithm_,
                       stream.scratch(kWorkspace), static_cast<std::size_t>(kWorkspace),
                       static_cast<cudaStream_t>(stream.handle())),
        "a product");
  }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    expect_cublas(cublasLtMatmulDescSetAttribute(product_, attribute, &value, sizeof(value)),
                  "describing a product");
  }

  static cublasLtMatrixLayout_t layout(DType type, std::int64_t rows, std::int64_t columns,
                                       std::int64_t stride) {
    cublasLtMatrixLayout_t made = nullptr;
    expect_cublas(cublasLtMatrixLayoutCreate(&made, type_of(type), static_cast<std::uint64_t>(rows),
                                             static_cast<std::uint64_t>(columns), stride),
                  "describing a matrix");
    return made;
  }

  /// The library's first choice for these sizes and alignments.
  void choose(const Key& key) {
    cublasLtMatmulPreference_t preference = nullptr;
    expect_cublas(cublasLtMatmulPreferenceCreate(&preference), "choosing an algorithm");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      expect_cublas(
          cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
          "choosing an algorithm");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(kWorkspace));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.align_b);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.align_a);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.align_c);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.align_c);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle(), product_, first_, second_, result_, result_, preference, 1, &found, &count);
    cublasLtMatmulPreferenceDestroy(preference);
    const ProductKey& p = key.product;
    check(status == CUBLAS_STATUS_SUCCESS && count > 0, Exit::kUnexpected,
          "cuBLASLt has no product [{}, {}] x [{}, {}] of {} with rows {}, {} and {} elements "
          "apart (status {})",
          p.m, p.k, p.k, p.n, name_of(p.operand), p.lda, p.ldb, p.ldc, static_cast<int>(status));
    algorithm_ = found.algo;
  }

  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t first_ = nullptr;
  cublasLtMatrixLayout_t second_ = nullptr;
  cublasLtMatrixLayout_t result_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
};

void product(const TensorView& c, const TensorView& a, const TensorView& b,
             const GemmOptions& options) {
  Key key{};
  ProductKey& p = key.product;
  p.m = c.rows();
  p.n = c.width();
  p.k = options.transpose_a ? a.rows() : a.width();
  // A single row may be declared with any stride; the library wants one that holds it.
  p.lda = std::max(a.stride(), a.width());
  p.ldb = std::max(b.stride(), b.width());
  p.ldc = std::max(c.stride(), c.width());
  p.operand = a.dtype;
  p.result = c.dtype;
  p.transpose_a = options.transpose_a;
  p.transpose_b = options.transpose_b;
  p.accumulate = options.accumulate;
  // The library adds a bias of the result's type only.
  const bool fused = options.bias && options.bias.dtype == c.dtype;
  if (fused) p.bias = options.bias.dtype;
  key.align_a = alignment_of(a.data);
  key.align_b = alignment_of(b.data);
  key.align_c = alignment_of(c.data);
  key.tf32 = options.tf32 && a.dtype == DType::f32;

  thread_local std::unordered_map<Key, std::unique_ptr<Plan>, HashKey> plans;
  auto& plan = plans[key];
  if (!plan) plan = std::make_unique<Plan>(key);
  plan->run({a.data, b.data, fused ? options.bias.data : nullptr, c.data}, options.alpha,
            options.accumulate);
  if (options.bias && !fused) add_bias_on_device(c, options.bias);
}

}  // namespace

void provide_gemm(DeviceKernels& kernels) { kernels.gemm = product; }

}  // namespace trireme::kernels
