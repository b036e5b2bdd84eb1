// Products by oneDNN's matmul primitive, versions 2 and 3 (built and run with 2.6.3).

#include "kernels/gemm/product.hpp"

#include "kernels/base/error.hpp"
#include "kernels/base/runtime.hpp"
#include "kernels/base/scratch.hpp"

#include <oneapi/dnnl/dnnl.hpp>

#include <array>
#include <cstring>
#include <memory>
#include <string_view>
#include <unordered_map>

namespace trireme::kernels {
namespace {

using dnnl::matmul;
using dnnl::memory;

const dnnl::engine& cpu() {
  static const dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

memory::data_type type_of(DType type) {
  switch (type) {
    case DType::f32: return memory::data_type::f32;
    case DType::bf16: return memory::data_type::bf16;
    case DType::f16: return memory::data_type::f16;
    default:
      fail(Exit::kUnexpected, "expected f32, bf16 or f16 in a product, found {}", name_of(type));
  }
}

/// Row-major rows x columns with the given distance between stored rows.
memory::desc matrix(std::int64_t rows, std::int64_t columns, std::int64_t stride, bool transposed,
                    DType type) {
  const memory::dims strides = transposed ? memory::dims{1, stride} : memory::dims{stride, 1};
  return {{rows, columns}, type_of(type), strides};
}

matmul::primitive_desc describe(const ProductKey& key) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops after;
#if DNNL_VERSION_MAJOR >= 3
  if (key.alpha != 1) after.append_eltwise(dnnl::algorithm::eltwise_linear, key.alpha, 0);
#else
  if (key.alpha != 1) after.append_eltwise(1, dnnl::algorithm::eltwise_linear, key.alpha, 0);
#endif
  if (key.accumulate) after.append_sum(1);
  attributes.set_post_ops(after);

  const auto a = matrix(key.m, key.k, key.lda, key.transpose_a, key.operand);
  const auto b = matrix(key.k, key.n, key.ldb, key.transpose_b, key.operand);
  const auto c = matrix(key.m, key.n, key.ldc, false, key.result);
  const auto bias = key.bias ? matrix(1, key.n, key.n, false, *key.bias) : memory::desc();
#if DNNL_VERSION_MAJOR >= 3
  return key.bias ? matmul::primitive_desc(cpu(), a, b, bias, c, attributes)
                  : matmul::primitive_desc(cpu(), a, b, c, attributes);
#else
  return {key.bias ? matmul::desc(a, b, bias, c) : matmul::desc(a, b, c), attributes, cpu()};
#endif
}

/// A primitive with its memory objects. Executed through the C interface, whose argument list is
/// filled once: the C++ one builds a map and a vector at every call.
class Product {
 public:
  /// Leaves `usable()` false where the library refuses the product or would use its reference loop.
  explicit Product(const ProductKey& key) {
    if (!has_native_products(key.operand)) return;
    matmul::primitive_desc description;
    try {
      description = describe(key);
    } catch (const dnnl::error& error) {
      check(error.status == dnnl_unimplemented, Exit::kUnexpected,
            "oneDNN can't prepare a product [{}, {}] x [{}, {}] of {}: {}", key.m, key.k, key.k,
            key.n, name_of(key.operand), error.what());
      return;
    }
    if (std::string_view(description.impl_info_str()).starts_with("ref") &&
        key.operand != DType::f32)
      return;
    matmul_ = matmul(description);
    scratchpad_bytes_ = description.scratchpad_desc().get_size();
    add(DNNL_ARG_SRC, description.src_desc());
    add(DNNL_ARG_WEIGHTS, description.weights_desc());
    add(DNNL_ARG_DST, description.dst_desc());
    add(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc());
    if (key.bias) add(DNNL_ARG_BIAS, description.bias_desc());
  }

  bool usable() const { return static_cast<bool>(matmul_); }

  void run(const ProductPointers& p) {
    ScratchFrame frame;
    void* scratchpad = scratchpad_bytes_ ? frame.take_bytes(scratchpad_bytes_) : nullptr;
    const std::array<const void*, 5> handles{p.a, p.b, p.c, scratchpad, p.bias};
    for (int i = 0; i < count_; ++i)
      dnnl_memory_set_data_handle(arguments_[i].memory, const_cast<void*>(handles[i]));
    thread_local dnnl::stream stream(cpu());
    const auto status =
        dnnl_primitive_execute(matmul_.get(), stream.get(), count_, arguments_.data());
    check(status == dnnl_success, Exit::kUnexpected, "oneDNN's product failed with status {}",
          static_cast<int>(status));
    stream.wait();
  }

 private:
  void add(int argument, const memory::desc& description) {
    memories_[count_] = memory(description, cpu(), nullptr);
    arguments_[count_] = {argument, memories_[count_].get()};
    ++count_;
  }

  matmul matmul_;
  std::size_t scratchpad_bytes_ = 0;
  std::array<memory, 5> memories_;
  std::array<dnnl_exec_arg_t, 5> arguments_{};
  int count_ = 0;
};

/// A product is prepared for a number of threads.
struct CacheKey {
  ProductKey product;
  int threads;
  friend bool operator==(const CacheKey&, const CacheKey&) = default;
};

struct HashKey {
  std::size_t operator()(const CacheKey& key) const {
    ProductHash hash(key.product);
    hash.mix(static_cast<std::uint64_t>(key.threads));
    return hash.value();
  }
};

}  // namespace

bool has_native_products(DType operand) {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto includes = [isa](dnnl::cpu_isa wanted) {
    return (isa & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted);
  };
  switch (operand) {
    case DType::f32: return true;
    case DType::bf16: return includes(dnnl::cpu_isa::avx512_core_bf16);
#if DNNL_VERSION_MAJOR >= 3
    case DType::f16: return includes(dnnl::cpu_isa::avx512_core_fp16);
#endif
    default: return false;
  }
}

bool run_product(const ProductKey& key, const ProductPointers& pointers) {
  thread_local std::unordered_map<CacheKey, std::unique_ptr<Product>, HashKey> cache;
  const int threads = execution_threads();
  auto& product = cache[{key, threads}];
  if (!product) product = std::make_unique<Product>(key);
  if (!product->usable()) return false;
  product->run(pointers);
  return true;
}

}  // namespace trireme::kernels
