// Every kernel of a training step beside the limit that holds it, measured in the same process.
//
//   OMP_NUM_THREADS=2 OMP_PLACES=cores OMP_PROC_BIND=close build/perf/kernels/perf_rooflines
//     [--benchmark_filter=norm] [--benchmark_min_time=0.5]
//
// Products and attention: GF/s and the share of the multiply-add loop of their type. Passes over
// memory: GB/s of the bytes that must move, and the share of a plain a += q b over as many bytes
// as the pass touches, so that what fits into a cache is compared with that cache. Shapes are
// those of perf/README.md's "small": 1024 tokens, width 768; a pass that also computes
// exponentials (gelu, cross-entropy) has its share of memory all the same.

#include "io/version.hpp"
#include "kernels/activation/activation.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/base/checked.hpp"
#include "kernels/base/runtime.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/embedding/embedding.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/loss/cross_entropy.hpp"
#include "kernels/norm/norm.hpp"
#include "kernels/optimizer/optimizer.hpp"
#include "perf/limits/loops.hpp"

#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace trireme;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kTokens = 1024;
constexpr std::int64_t kWidth = 768;
constexpr std::int64_t kInner = 4 * kWidth;
constexpr std::int64_t kVocabulary = 8192;

/// Memory of a tensor that lives as long as the program, filled with small numbers.
TensorView tensor(Shape shape, DType dtype = DType::f32) {
  static std::vector<std::unique_ptr<std::vector<std::byte>>> all;
  const auto bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  all.push_back(std::make_unique<std::vector<std::byte>>(bytes));
  const TensorView view{all.back()->data(), shape, dtype};
  if (dtype == DType::i32) {
    for (std::int64_t i = 0; i < shape.elements(); ++i)
      view.as<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7919 % kVocabulary);
  } else {
    for (std::int64_t i = 0; i < shape.elements(); ++i) {
      const float value = static_cast<float>(i % 31 - 15) * 0.01f;
      if (dtype == DType::bf16)
        view.as<BFloat16>()[i] = BFloat16(value);
      else
        view.as<float>()[i] = value;
    }
  }
  return view;
}

std::span<float> floats(const TensorView& view) {
  return {view.as<float>(), static_cast<std::size_t>(view.shape.elements())};
}

double best_seconds(int turns, const auto& work) {
  double best = 1e30;
  for (int turn = -1; turn < turns; ++turn) {
    const auto start = Clock::now();
    work();
    const double time = std::chrono::duration<double>(Clock::now() - start).count();
    if (turn >= 0) best = std::min(best, time);
  }
  return best;
}

/// flop/s of the loop on all threads; where the CPU has no bf16 products that of fp32.
double loop_rate(DType dtype) {
  constexpr std::int64_t kRounds = 1 << 19;
  double flops = 0;
  const double seconds = best_seconds(5, [&] {
    flops = 0;
#pragma omp parallel reduction(+ : flops)
    flops += dtype == DType::bf16 ? perf::multiply_bf16(kRounds) : perf::multiply_fp32(kRounds);
  });
  return flops > 0 ? flops / seconds : loop_rate(DType::f32);
}

/// bytes/s of a += q b on all threads over arrays of `bytes` together.
double update_rate(double bytes) {
  const auto count = std::max<std::int64_t>(1024, static_cast<std::int64_t>(bytes / 8));
  const TensorView a = tensor({count});
  const TensorView b = tensor({count});
  const double seconds = best_seconds(9, [&] {
#pragma omp parallel
    {
      const Range part = split_evenly(count, omp_get_num_threads(), omp_get_thread_num());
      const auto begin = static_cast<std::size_t>(part.begin);
      const auto size = static_cast<std::size_t>(part.size());
      perf::update_all(floats(a).subspan(begin, size), floats(b).subspan(begin, size));
    }
  });
  return 12.0 * static_cast<double>(count) / seconds;
}

std::string named(const std::string& name, DType dtype) {
  return name + "/" + std::string(name_of(dtype));
}

/// Registers one kernel. `work` is flops (compute) or bytes (memory), `limit` their rate.
void add(const std::string& name, double work, double limit, const char* unit,
         std::function<void()> run) {
  const auto body = [=](benchmark::State& state) {
    const auto start = Clock::now();
    for (auto _ : state) run();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const double rate = work * static_cast<double>(state.iterations()) / seconds;
    state.counters[unit] = rate / 1e9;
    state.counters["of limit"] = rate / limit;
  };
  benchmark::RegisterBenchmark(name.c_str(), body)->UseRealTime()->Unit(benchmark::kMicrosecond);
}

void add_compute(const std::string& name, DType dtype, double flops, std::function<void()> run) {
  static const double fp32 = loop_rate(DType::f32);
  static const double bf16 = loop_rate(DType::bf16);
  add(named(name, dtype), flops, dtype == DType::bf16 ? bf16 : fp32, "GF/s", std::move(run));
}

/// `bytes` that must move, counting each read and each write once.
void add_memory(const std::string& name, DType dtype, std::int64_t bytes,
                std::function<void()> run) {
  const auto amount = static_cast<double>(bytes);
  add(named(name, dtype), amount, update_rate(amount), "GB/s", std::move(run));
}

void add_products(DType dtype) {
  const TensorView x = tensor({kTokens, kWidth}, dtype);
  const TensorView w = tensor({kInner, kWidth}, dtype);
  const TensorView y = tensor({kTokens, kInner}, dtype);
  const TensorView dw = tensor({kInner, kWidth});
  const double flops = 2.0 * static_cast<double>(kTokens * kInner * kWidth);
  add_compute("gemm y = x w^T", dtype, flops,
              [=] { kernels::gemm(y, x, w, {.transpose_b = true}); });
  add_compute("gemm dx = dy w", dtype, flops, [=] { kernels::gemm(x, y, w); });
  add_compute("gemm dw += dy^T x", dtype, flops,
              [=] { kernels::gemm(dw, y, x, {.transpose_a = true, .accumulate = true}); });
}

void add_attention(DType dtype) {
  const kernels::AttentionShape shape{2, kTokens / 2, 12, 12, 64};
  const TensorView qkv = tensor({kTokens, 3 * kWidth}, dtype);
  const TensorView gradient = tensor({kTokens, 3 * kWidth}, dtype);
  const TensorView out = tensor({kTokens, kWidth}, dtype);
  const TensorView dout = tensor({kTokens, kWidth}, dtype);
  const TensorView lse = tensor({shape.batch, shape.heads, shape.seq});
  const auto part = [](const TensorView& packed, int which) {
    return packed.column_slice(which * kWidth, kWidth);
  };
  add_compute("attention forward", dtype, kernels::attention_forward_flops(shape), [=] {
    kernels::attention_forward(shape, out, lse, part(qkv, 0), part(qkv, 1), part(qkv, 2));
  });
  add_compute("attention backward", dtype, kernels::attention_backward_flops(shape), [=] {
    kernels::attention_backward(shape, part(gradient, 0), part(gradient, 1), part(gradient, 2),
                                dout, part(qkv, 0), part(qkv, 1), part(qkv, 2), out, lse);
  });
}

void add_norm(DType dtype) {
  const auto size = static_cast<std::int64_t>(size_of(dtype)) * kTokens * kWidth;
  const kernels::Norm norm{.gamma = tensor({kWidth}, dtype), .beta = tensor({kWidth}, dtype)};
  const kernels::NormStatistics saved{tensor({kTokens}), tensor({kTokens})};
  const kernels::NormGradients gradients{tensor({kWidth}), tensor({kWidth})};
  const TensorView x = tensor({kTokens, kWidth}, dtype);
  const TensorView y = tensor({kTokens, kWidth}, dtype);
  const TensorView dy = tensor({kTokens, kWidth}, dtype);
  const TensorView dx = tensor({kTokens, kWidth}, dtype);
  add_memory("layer norm", dtype, 2 * size, [=] { kernels::norm_forward(norm, x, y, saved); });
  add_memory("layer norm backward", dtype, 4 * size,
             [=] { kernels::norm_backward(norm, x, dy, saved, dy, dx, gradients); });
}

void add_passes(DType dtype) {
  const auto inner = static_cast<std::int64_t>(size_of(dtype)) * kTokens * kInner;
  const TensorView x = tensor({kTokens, kInner}, dtype);
  const TensorView y = tensor({kTokens, kInner}, dtype);
  const TensorView bias = tensor({kInner}, dtype);
  const TensorView sums = tensor({kInner});
  add_memory("gelu", dtype, 2 * inner,
             [=] { kernels::activation_forward(kernels::Activation::gelu_tanh, x, bias, y); });
  add_memory("gelu backward", dtype, 3 * inner,
             [=] { kernels::activation_backward(kernels::Activation::gelu_tanh, x, bias, y, y); });
  add_memory("column sums", dtype, inner, [=] { kernels::column_sums(x, sums, false); });
  add_memory("sum of squares", dtype, inner,
             [=] { benchmark::DoNotOptimize(kernels::sum_of_squares(x)); });
}

void add_head(DType dtype) {
  const auto logits_bytes = static_cast<std::int64_t>(size_of(dtype)) * kTokens * kVocabulary;
  const auto row_bytes = static_cast<std::int64_t>(size_of(dtype)) * kTokens * kWidth;
  const TensorView logits = tensor({kTokens, kVocabulary}, dtype);
  const TensorView ids = tensor({kTokens}, DType::i32);
  const TensorView statistics = tensor({kTokens, 3});
  const TensorView normalizer = tensor({kTokens, 2});
  std::ranges::fill(floats(normalizer), 1.0f);
  const TensorView table = tensor({kVocabulary, kWidth}, dtype);
  const TensorView rows = tensor({kTokens, kWidth}, dtype);
  const TensorView d_table = tensor({kVocabulary, kWidth});
  const kernels::VocabularyShard shard{0, kVocabulary};
  add_memory("cross-entropy", dtype, logits_bytes,
             [=] { kernels::cross_entropy_statistics(logits, ids, shard, statistics); });
  // A scale of 1 would let repeated calls run to infinity.
  add_memory("cross-entropy gradient", dtype, 2 * logits_bytes,
             [=] { kernels::cross_entropy_gradient(logits, ids, shard, normalizer, 1e-3f); });
  add_memory("embedding", dtype, 2 * row_bytes,
             [=] { kernels::embedding_forward(ids, table, 0, rows); });
  add_memory("embedding backward", dtype, row_bytes + 8 * kTokens * kWidth,
             [=] { kernels::embedding_backward(ids, rows, 0, d_table, true); });
}

void add_update(DType dtype) {
  constexpr std::int64_t kCount = std::int64_t{1} << 22;
  const auto master = floats(tensor({kCount}));
  const auto gradient = floats(tensor({kCount}));
  const auto first = floats(tensor({kCount}));
  const auto second = floats(tensor({kCount}));
  std::ranges::fill(second, 0.01f);
  const TensorView copy = dtype == DType::f32 ? TensorView{} : tensor({kCount}, dtype);
  add_memory("AdamW", dtype, (dtype == DType::f32 ? 28 : 30) * kCount, [=] {
    kernels::UpdateRange range{
        .master = master, .weights = copy, .gradient = gradient, .undecayed = {}};
    range.learning_rate = 1e-4;
    range.weight_decay = 0.1;
    kernels::adam_update({}, 10, range, first, second);
  });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const Runtime runtime;
  benchmark::AddCustomContext("commit", io::commit());
  benchmark::AddCustomContext("runtime", runtime.describe());
  for (const DType dtype : {DType::f32, DType::bf16}) {
    add_products(dtype);
    add_attention(dtype);
    add_norm(dtype);
    add_passes(dtype);
    add_head(dtype);
    add_update(dtype);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
