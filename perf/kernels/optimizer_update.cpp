// The host's optimizer update beside what memory gives: AdamW in turns with a plain update of one
// array over the same number of bytes.
//
//   OMP_NUM_THREADS=2 build/perf/kernels/perf_optimizer_update [--tiny]
//
// AdamW in f32 moves 28 bytes a parameter: reads p, g, m, v, writes p, m, v. With 16-bit weights
// two more.

#include "io/version.hpp"
#include "kernels/base/runtime.hpp"
#include "kernels/optimizer/optimizer.hpp"

#include <sys/mman.h>

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace trireme;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Floats in huge pages, touched; lives as long as the program. Arrays do not start at the same
/// place of a memory bank: as in a flat buffer of odd size.
std::span<float> floats(std::int64_t count) {
  static std::int64_t shift = 0;
  shift += 17 * 1024 + 64;
  const auto bytes = static_cast<std::size_t>(count + shift) * sizeof(float);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(memory != MAP_FAILED, Exit::kUnexpected, "no memory for {} bytes", bytes);
  madvise(memory, bytes, MADV_HUGEPAGE);
  const std::span<float> made(static_cast<float*>(memory) + shift, static_cast<std::size_t>(count));
  std::fill(made.begin(), made.end(), 0.01f);
  return made;
}

struct Timed {
  std::string name;
  double bytes = 0;
  std::function<void()> run;
  std::vector<double> rates = {};
};

/// a += q b, 12 bytes an element: the machine's rate of updates. Each thread has one half.
void plain_update(std::span<float> a, std::span<const float> b) {
  float* __restrict to = a.data();
  const float* __restrict from = b.data();
#pragma omp parallel for simd schedule(static)
  for (std::int64_t i = 0; i < std::ssize(a); ++i) to[i] += 0.5f * from[i];
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const bool tiny = argc > 1 && std::string(argv[1]) == "--tiny";
  const Runtime runtime;
  const std::int64_t count = tiny ? 1 << 12 : std::int64_t{1} << 26;
  const auto master = floats(count);
  const auto gradient = floats(count);
  const auto first = floats(count);
  const auto second = floats(count);
  const auto weights = floats(count / 2);
  const auto n = static_cast<double>(count);
  const auto adam = [&](const TensorView& copy) {
    kernels::UpdateRange range{
        .master = master, .weights = copy, .gradient = gradient, .undecayed = {}};
    range.learning_rate = 1e-4;
    range.weight_decay = 0.1;
    kernels::adam_update({}, 10, range, first, second);
  };
  std::vector<Timed> all{
      {"a += q b (12 bytes)", 12 * n, [&] { plain_update(master, gradient); }},
      {"AdamW, f32 (28 bytes)", 28 * n, [&] { adam({}); }},
      {"AdamW, bf16 weights (30 bytes)", 30 * n,
       [&] {
         adam({weights.data(), Shape{count}, DType::bf16});
       }},
  };
  for (int turn = -1; turn < (tiny ? 1 : 7); ++turn)
    for (Timed& one : all) {
      const double start = seconds();
      one.run();
      if (turn >= 0) one.rates.push_back(one.bytes / (seconds() - start));
    }
  fmt::print("commit {}, {}, {} parameters\n", io::commit(), runtime.describe(), count);
  for (const Timed& one : all)
    fmt::print("{:32} best {:6.1f} median {:6.1f} GB/s, {:.2f} of the plain update's\n", one.name,
               1e-9 * *std::max_element(one.rates.begin(), one.rates.end()),
               1e-9 * median(one.rates), median(one.rates) / median(all[0].rates));
  return 0;
}
