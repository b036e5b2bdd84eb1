// Dense products on NVIDIA GPUs, by cuBLASLt.

#include "kernels/base/checked.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/fp8/fp8_cuda.hpp"
#include "kernels/gemm/bias_cuda.hpp"
#include "kernels/gemm/cublaslt_plan.hpp"

#include <algorithm>

namespace trireme::kernels {
namespace {

/// What every product of a result has in its key: the result, and whether the library adds the
/// bias.
cublaslt::Key key_for(const TensorView& c, const GemmOptions& options) {
  cublaslt::Key key;
  key.product.m = c.rows();
  key.product.n = c.width();
  // A single row may be declared with any stride; the library wants one that holds it.
  key.product.ldc = std::max(c.stride(), c.width());
  key.product.result = c.dtype;
  key.product.accumulate = options.accumulate;
  key.align_c = cublaslt::alignment_of(c.data);
  // The library adds a bias of the result's type only. Its choice of an algorithm depends on where
  // the bias lies: here always on a boundary that suits all of them.
  if (options.bias && options.bias.dtype == c.dtype &&
      cublaslt::alignment_of(options.bias.data) == cublaslt::kAligned)
    key.product.bias = options.bias.dtype;
  return key;
}

cublaslt::Key key_for(const TensorView& c, const TensorView& a, const TensorView& b,
                      const GemmOptions& options) {
  cublaslt::Key key = key_for(c, options);
  ProductKey& p = key.product;
  p.k = options.transpose_a ? a.rows() : a.width();
  p.lda = std::max(a.stride(), a.width());
  p.ldb = std::max(b.stride(), b.width());
  p.transpose_a = options.transpose_a;
  p.transpose_b = options.transpose_b;
  key.a = a.dtype;
  key.b = b.dtype;
  key.align_a = cublaslt::alignment_of(a.data);
  key.align_b = cublaslt::alignment_of(b.data);
  key.tf32 = options.tf32 && a.dtype == DType::f32;
  return key;
}

void add_other_bias(const cublaslt::Key& key, const TensorView& c, const GemmOptions& options) {
  if (options.bias && !key.product.bias) add_bias_on_device(c, options.bias);
}

bool run(const cublaslt::Key& key, const TensorView& c, const TensorView& a, const TensorView& b,
         const GemmOptions& options, void* aux = nullptr) {
  const void* bias = key.product.bias ? options.bias.data : nullptr;
  return cublaslt::run(key, {{a.data, b.data, bias, c.data}, aux}, options.alpha,
                       options.accumulate, current_stream().scratch("gemm", kGemmWorkspace));
}

void product(const TensorView& c, const TensorView& a, const TensorView& b,
             const GemmOptions& options) {
  const cublaslt::Key key = key_for(c, a, b, options);
  run(key, c, a, b, options);
  add_other_bias(key, c, options);
}

/// The product with an epilogue that writes or reads `aux`, where the library takes them.
bool with_epilogue(cublaslt::Epilogue epilogue, const TensorView& c, const TensorView& aux,
                   const TensorView& a, const TensorView& b, const GemmOptions& options) {
  constexpr std::int64_t kStep = 8;  // the library wants a stride of aux that this divides
  cublaslt::Key key = key_for(c, a, b, options);
  key.epilogue = epilogue;
  key.aux_stride = aux.rows() == 1 ? round_up(aux.width(), kStep) : aux.stride();
  if (aux.dtype != c.dtype || key.aux_stride % kStep != 0 ||
      cublaslt::alignment_of(aux.data) != cublaslt::kAligned || (options.bias && !key.product.bias))
    return false;
  return run(key, c, a, b, options, aux.data);
}

bool product_gelu(const TensorView& y, const TensorView& x, const TensorView& a,
                  const TensorView& b, const GemmOptions& options) {
  return with_epilogue(cublaslt::Epilogue::gelu, y, x, a, b, options);
}

bool product_gelu_slope(const TensorView& dx, const TensorView& x, const TensorView& a,
                        const TensorView& b, const GemmOptions& options) {
  return with_epilogue(cublaslt::Epilogue::gelu_gradient, dx, x, a, b, options);
}

/// A copy of x [rows, depth], or of x [depth, rows] turned, in fp8, with zeros up to a whole number
/// of lines: Hopper multiplies such rows only. Takes its memory from the front of `memory`.
Fp8Tensor quantized(const TensorView& x, bool turn, DType format, std::byte*& memory) {
  const std::int64_t rows = turn ? x.width() : x.rows();
  const std::int64_t depth = turn ? x.rows() : x.width();
  const std::int64_t stride = round_up(depth, kFp8Alignment);
  Fp8Tensor made;
  made.scale = reinterpret_cast<Fp8Scale*>(memory);
  made.values = {memory + kFp8Line, {rows, depth}, format, stride, MemorySpace::device};
  memory += fp8_operand_bytes(rows, depth);
  quantize_on_device(x, made, turn);
  return made;
}

void fp8_product(const TensorView& c, const TensorView& a, const TensorView& b,
                 const Fp8Formats& formats, const GemmOptions& options) {
  // Both operands lie along their depth: b as a linear layer's weight does, a as its input.
  const bool turn_a = options.transpose_a;
  const bool turn_b = !options.transpose_b;
  const std::int64_t bytes = gemm_fp8_workspace(c.rows(), c.width(), turn_a ? a.rows() : a.width());
  auto* workspace = static_cast<std::byte*>(current_stream().scratch("gemm_fp8", bytes));
  std::byte* memory = workspace + kGemmWorkspace;
  const Fp8Tensor small_a = quantized(a, turn_a, formats.a, memory);
  const Fp8Tensor small_b = quantized(b, turn_b, formats.b, memory);

  cublaslt::Key key = key_for(c, options);
  ProductKey& p = key.product;
  p.k = p.lda = p.ldb = small_a.values.stride();
  p.transpose_b = true;
  if (c.dtype == DType::f32) p.bias.reset();  // there the library wants one of 16 bits
  key.a = formats.a;
  key.b = formats.b;
  key.align_a = cublaslt::alignment_of(small_a.values.data);
  key.align_b = cublaslt::alignment_of(small_b.values.data);
  const void* bias = p.bias ? options.bias.data : nullptr;
  cublaslt::run(key,
                {{small_a.values.data, small_b.values.data, bias, c.data},
                 nullptr,
                 &small_a.scale->unscale,
                 &small_b.scale->unscale},
                options.alpha, options.accumulate, workspace);
  add_other_bias(key, c, options);
}

}  // namespace

void provide_gemm(DeviceKernels& kernels) {
  kernels.gemm = product;
  kernels.gemm_activation = product_gelu;
  kernels.gemm_activation_slope = product_gelu_slope;
  kernels.gemm_fp8 = fp8_product;
}

}  // namespace trireme::kernels
