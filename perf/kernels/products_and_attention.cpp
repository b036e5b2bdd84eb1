// Dense products and fused attention against the product peak measured in the same run, in turns.
//
//   OMP_NUM_THREADS=1 build/perf/kernels/perf_products_and_attention [--tiny]
//
// With one thread the clock is that thread's CPU time, so that a busy machine disturbs less; with
// more it is the wall's. Attention counts the products of visible keys only (see attention.hpp).

#include "io/version.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/base/random.hpp"
#include "kernels/base/runtime.hpp"
#include "kernels/gemm/gemm.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace trireme;

double seconds() {
  timespec now{};
  clock_gettime(execution_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Memory of one tensor, filled with small random numbers.
class Buffer {
 public:
  Buffer(Shape shape, DType dtype)
      : shape_(shape),
        dtype_(dtype),
        bytes_(static_cast<std::size_t>(shape.elements()) * size_of(dtype)) {
    for (std::int64_t i = 0; i < shape.elements(); ++i) {
      const float value = uniform_from(Philox(1).at(static_cast<std::uint64_t>(i), 0)[0]) - 0.5f;
      switch (dtype) {
        case DType::bf16: view().as<BFloat16>()[i] = BFloat16(value); break;
        case DType::f16: view().as<Float16>()[i] = Float16(value); break;
        default: view().as<float>()[i] = value;
      }
    }
  }
  TensorView view() { return {bytes_.data(), shape_, dtype_}; }

 private:
  Shape shape_;
  DType dtype_;
  std::vector<std::byte> bytes_;
};

struct Timed {
  std::string name;
  double flops;
  std::function<void()> run;
  double best = 1e30;
};

/// Best times of all, taken in turns.
void measure(std::vector<Timed>& all, int turns) {
  for (int turn = -1; turn < turns; ++turn)  // the first prepares products and touches memory
    for (Timed& one : all) {
      const double start = seconds();
      one.run();
      if (turn >= 0) one.best = std::min(one.best, seconds() - start);
    }
}

void print(const std::vector<Timed>& all, DType dtype) {
  double peak = 0;
  for (const Timed& one : all)
    if (one.name.starts_with("product")) peak = std::max(peak, one.flops / one.best);
  for (const Timed& one : all)
    fmt::print("{:4} {:38} {:8.3f} ms {:7.1f} GF/s {:5.2f} of the best product\n", name_of(dtype),
               one.name, 1e3 * one.best, 1e-9 * one.flops / one.best, one.flops / one.best / peak);
}

/// The three products of a linear layer.
struct Linear {
  std::int64_t m, n, k;
  Buffer x, w, y, dw;

  Linear(DType dtype, std::int64_t rows, std::int64_t outputs, std::int64_t inputs)
      : m(rows),
        n(outputs),
        k(inputs),
        x({m, k}, dtype),
        w({n, k}, dtype),
        y({m, n}, dtype),
        dw({n, k}, DType::f32) {}

  void add_to(std::vector<Timed>& all) {
    const double flops = 2.0 * static_cast<double>(m * n * k);
    const std::string size = fmt::format("{} x {} x {}", m, n, k);
    all.push_back({fmt::format("product y = x w^T, {}", size), flops,
                   [this] { kernels::gemm(y.view(), x.view(), w.view(), {.transpose_b = true}); }});
    all.push_back(
        {"product dx = dy w", flops, [this] { kernels::gemm(x.view(), y.view(), w.view()); }});
    all.push_back({"product dw += dy^T x (f32)", flops, [this] {
                     kernels::gemm(dw.view(), y.view(), x.view(),
                                   {.transpose_a = true, .accumulate = true});
                   }});
  }
};

/// Attention on slices of a packed projection, as the models call it.
struct Attention {
  kernels::AttentionShape shape;
  Buffer qkv, gradient, out, dout, lse;

  Attention(DType dtype, const kernels::AttentionShape& s)
      : shape(s),
        qkv({s.tokens(), (s.heads + 2 * s.kv_heads) * s.head_dim}, dtype),
        gradient({s.tokens(), (s.heads + 2 * s.kv_heads) * s.head_dim}, dtype),
        out({s.tokens(), s.heads * s.head_dim}, dtype),
        dout({s.tokens(), s.heads * s.head_dim}, dtype),
        lse({s.batch, s.heads, s.seq}, DType::f32) {}

  TensorView part(Buffer& packed, int which) {
    const std::int64_t q = shape.heads * shape.head_dim;
    const std::int64_t kv = shape.kv_heads * shape.head_dim;
    return packed.view().column_slice(which == 0 ? 0 : q + (which - 1) * kv, which == 0 ? q : kv);
  }

  void add_to(std::vector<Timed>& all) {
    all.push_back({fmt::format("attention, seq {}, heads {}/{} x {}", shape.seq, shape.heads,
                               shape.kv_heads, shape.head_dim),
                   kernels::attention_forward_flops(shape), [this] {
                     kernels::attention_forward(shape, out.view(), lse.view(), part(qkv, 0),
                                                part(qkv, 1), part(qkv, 2));
                   }});
    all.push_back({"  its backward", kernels::attention_backward_flops(shape), [this] {
                     kernels::attention_backward(shape, part(gradient, 0), part(gradient, 1),
                                                 part(gradient, 2), dout.view(), part(qkv, 0),
                                                 part(qkv, 1), part(qkv, 2), out.view(),
                                                 lse.view());
                   }});
  }
};

void run(DType dtype, bool tiny) {
  Linear linear = tiny ? Linear(dtype, 64, 96, 32) : Linear(dtype, 1024, 2304, 768);
  std::vector<Attention> attention;
  if (tiny) {
    attention.emplace_back(dtype, kernels::AttentionShape{1, 32, 2, 1, 8});
  } else {
    attention.emplace_back(dtype, kernels::AttentionShape{4, 256, 8, 8, 32});
    attention.emplace_back(dtype, kernels::AttentionShape{1, 1024, 12, 12, 64});
    attention.emplace_back(dtype, kernels::AttentionShape{1, 1024, 16, 4, 128});
  }
  std::vector<Timed> all;
  linear.add_to(all);
  for (Attention& one : attention) one.add_to(all);
  measure(all, tiny ? 1 : 5);
  print(all, dtype);
}

}  // namespace

int main(int argc, char** argv) {
  const bool tiny = argc > 1 && std::string(argv[1]) == "--tiny";
  const Runtime runtime;
  fmt::print("commit {}, {}\n", io::commit(), runtime.describe());
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    fmt::print("{}: {}\n", name_of(dtype), kernels::gemm_path(dtype));
    run(dtype, tiny);
  }
  return 0;
}
