#include "kernels/gemm/cublaslt_plan.hpp"

#include "kernels/base/device.hpp"
#include "kernels/base/device_cuda.hpp"
#include "kernels/base/error.hpp"

#include <bit>
#include <memory>
#include <unordered_map>

namespace trireme::kernels::cublaslt {
namespace {

void expect_cublas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  expect_no_fault(what);
  const bool no_memory =
      status == CUBLAS_STATUS_ALLOC_FAILED || status == CUBLAS_STATUS_NOT_INITIALIZED;
  check(!no_memory, Exit::kUsage,
        "{}: cuBLASLt finds no memory for itself on the device (status {}): leave it some, with a "
        "smaller plan or fewer programs on the device",
        what, static_cast<int>(status));
  fail(Exit::kUnexpected, "{}: cuBLASLt says {}", what, static_cast<int>(status));
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
    case DType::e4m3: return CUDA_R_8F_E4M3;
    case DType::e5m2: return CUDA_R_8F_E5M2;
    default: fail(Exit::kUnexpected, "expected floats in a product, found {}", name_of(type));
  }
}

struct HashKey {
  std::size_t operator()(const Key& key) const {
    ProductHash hash(key.product);
    hash.mix(key.align_a | std::uint64_t{key.align_b} << 16 | std::uint64_t{key.align_c} << 32 |
             std::uint64_t{key.tf32} << 48);
    hash.mix(static_cast<std::uint64_t>(key.a) | static_cast<std::uint64_t>(key.b) << 8 |
             static_cast<std::uint64_t>(key.epilogue) << 16);
    hash.mix(static_cast<std::uint64_t>(key.aux_stride));
    return hash.value();
  }
};

cublasLtEpilogue_t epilogue_of(const Key& key) {
  switch (key.epilogue) {
    case Epilogue::none:
      return key.product.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::gelu:
      return key.product.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::gelu_gradient: return CUBLASLT_EPILOGUE_DGELU;
  }
  fail(Exit::kUnexpected, "no epilogue {} is known", static_cast<int>(key.epilogue));
}

/// cuBLASLt counts columns first. A row-major matrix is its transpose there, so that
/// c^T [n, m] = op(b)^T op(a)^T: b is the library's first operand, a its second.
class Plan {
 public:
  Plan(const Key& key, const Operands& first) {
    const ProductKey& p = key.product;
    const cublasComputeType_t compute =
        key.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    expect_cublas(cublasLtMatmulDescCreate(&product_, compute, CUDA_R_32F), "a product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(key));
    if (p.bias) set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(*p.bias));
    if (key.epilogue != Epilogue::none) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, key.aux_stride);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, type_of(p.result));
    }
    first_ = layout(key.b, p.transpose_b ? p.k : p.n, p.transpose_b ? p.n : p.k, p.ldb);
    second_ = layout(key.a, p.transpose_a ? p.m : p.k, p.transpose_a ? p.k : p.m, p.lda);
    result_ = layout(p.result, p.n, p.m, p.ldc);
    point_to(first);  // the choice may depend on which of them there are
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

  bool run(const Operands& operands, float alpha, bool accumulate, void* workspace) {
    if (!has_algorithm_) return false;
    point_to(operands);
    const ProductPointers& p = operands.pointers;
    const float beta = accumulate ? 1.0f : 0.0f;
    expect_cublas(cublasLtMatmul(handle(), product_, &alpha, p.b, first_, p.a, second_, &beta, p.c,
                                 result_, p.c, result_, &algorithm_, workspace,
                                 static_cast<std::size_t>(kGemmWorkspace),
                                 static_cast<cudaStream_t>(current_stream().handle())),
                  "a product");
    return true;
  }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    expect_cublas(cublasLtMatmulDescSetAttribute(product_, attribute, &value, sizeof(value)),
                  "describing a product");
  }

  void point_to(const Operands& operands) {
    const void* bias = operands.pointers.bias;
    if (bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    if (operands.aux) set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operands.aux);
    if (operands.unscale_b) set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, operands.unscale_b);
    if (operands.unscale_a) set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, operands.unscale_a);
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
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(kGemmWorkspace));
    // Parts of a sum over k meet in fp32: in the result's memory they would be rounded to its type,
    // and c would be one of them.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
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
    has_algorithm_ = status == CUBLAS_STATUS_SUCCESS && count > 0;
    if (!has_algorithm_) expect_no_fault("choosing an algorithm");
    check(has_algorithm_ || key.epilogue != Epilogue::none, Exit::kUnexpected,
          "cuBLASLt has no product [{}, {}] of {} x [{}, {}] of {} with rows {}, {} and {} "
          "elements apart (status {})",
          p.m, p.k, name_of(key.a), p.k, p.n, name_of(key.b), p.lda, p.ldb, p.ldc,
          static_cast<int>(status));
    algorithm_ = found.algo;
  }

  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t first_ = nullptr;
  cublasLtMatrixLayout_t second_ = nullptr;
  cublasLtMatrixLayout_t result_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
  bool has_algorithm_ = false;
};

}  // namespace

std::uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  return std::uint32_t{1} << std::countr_zero(address | kAligned);
}

bool run(const Key& key, const Operands& operands, float alpha, bool accumulate, void* workspace) {
  thread_local std::unordered_map<Key, std::unique_ptr<Plan>, HashKey> plans;
  auto& plan = plans[key];
  if (!plan) plan = std::make_unique<Plan>(key, operands);
  return plan->run(operands, alpha, accumulate, workspace);
}

}  // namespace trireme::kernels::cublaslt
