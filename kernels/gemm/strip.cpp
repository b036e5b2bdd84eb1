#include "kernels/gemm/strip.hpp"

#include "kernels/base/wide_loops.hpp"
#include "kernels/gemm/product.hpp"

namespace trireme::kernels {

const StripKernels* strip_kernels(DType operand) {
  switch (operand) {
    case DType::f32: return wide_loops() ? &strip_kernels_avx512() : &strip_kernels_avx2();
    case DType::bf16: return has_native_products(operand) ? &strip_kernels_avx512_bf16() : nullptr;
    default: return nullptr;
  }
}

}  // namespace trireme::kernels
