// What a GPU reaches without a model around it: products of large bf16 matrices of random numbers
// (zeros take less power, so run faster than any training) by kernels::gemm, and plain copies
// between page-locked host memory and the device, each way and both at once. One JSON object;
// perf/gpu/run divides by it.
//
//   build-cuda/perf/gpu/perf_device_rates [--tiny]

#include "kernels/base/device.hpp"
#include "kernels/base/runtime.hpp"
#include "kernels/elementwise/initialize.hpp"
#include "kernels/gemm/gemm.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>

namespace {

using namespace trireme;

/// Shortest of some turns of `work` in the stream, seconds.
template <class Work>
double best_seconds(Stream& stream, int turns, const Work& work) {
  Event begin, end;
  double best = 0;
  for (int turn = 0; turn < turns + 1; ++turn) {
    begin.record(stream);
    work();
    end.record(stream);
    end.wait();
    const double seconds = Event::seconds(begin, end);
    if (turn > 0) best = best > 0 ? std::min(best, seconds) : seconds;  // the first one prepares
  }
  return best;
}

/// flop/s of the fastest of some shapes: squares, and a layer and the head of Qwen2.5's 1.5B.
double gemm_peak(Stream& stream, bool tiny) {
  using Shape3 = std::array<std::int64_t, 3>;  // m, n, k
  const std::initializer_list<Shape3> full{
      {8192, 8192, 8192}, {16384, 16384, 8192}, {16384, 8960, 1536}, {16384, 151936, 1536}};
  const std::initializer_list<Shape3> small{{64, 64, 64}};
  const StreamScope scope(stream);
  double peak = 0;
  for (const auto& [m, n, k] : tiny ? small : full) {
    const DeviceMemory memory(2 * (m * k + n * k + m * n));
    auto* bytes = static_cast<std::byte*>(memory.data());
    const TensorView x(bytes, {m, k}, DType::bf16, 0, MemorySpace::device);
    const TensorView w(bytes + 2 * m * k, {n, k}, DType::bf16, 0, MemorySpace::device);
    const TensorView y(bytes + 2 * (m * k + n * k), {m, n}, DType::bf16, 0, MemorySpace::device);
    kernels::fill_uniform(x, -1, 1, {.seed = 1});
    kernels::fill_uniform(w, -1, 1, {.seed = 2});
    const double seconds = best_seconds(stream, tiny ? 2 : 20, [&, m = m, n = n, k = k] {
      kernels::gemm(y, x, w, {.transpose_b = true});
    });
    peak = std::max(peak, 2.0 * static_cast<double>(m * n * k) / seconds);
  }
  return peak;
}

struct CopyRates {
  double in = 0;    ///< bytes/s, host to device
  double out = 0;   ///< device to host
  double both = 0;  ///< sum of both at once
};

CopyRates copy_rates(bool tiny) {
  const std::int64_t bytes = tiny ? 1 << 16 : std::int64_t{1} << 30;
  const int turns = tiny ? 2 : 8;
  const PinnedMemory host_in(bytes), host_out(bytes);
  const DeviceMemory device_in(bytes), device_out(bytes);
  Stream in, out;
  const auto copy_in = [&] {
    const StreamScope scope(in);
    copy_bytes(device_in.data(), host_in.data(), bytes);
  };
  const auto copy_out = [&] {
    const StreamScope scope(out);
    copy_bytes(host_out.data(), device_out.data(), bytes);
  };
  const auto moved = static_cast<double>(bytes);
  CopyRates made;
  made.in = moved / best_seconds(in, turns, copy_in);
  made.out = moved / best_seconds(out, turns, copy_out);
  Event started, finished;
  made.both = 2 * moved / best_seconds(in, turns, [&] {
                started.record(in);
                started.order(out);
                copy_out();
                finished.record(out);
                copy_in();
                finished.order(in);
              });
  return made;
}

}  // namespace

int main(int argc, char** argv) {
  const bool tiny = argc > 1 && std::string(argv[1]) == "--tiny";
  try {
    const Runtime runtime(1);
    DeviceBackend* backend = linked_device_backend();
    check(backend != nullptr, Exit::kUsage, "this program was linked without a device");
    use_device_backend(*backend);
    select_device(0);
    const DeviceInfo info = describe_device(0);
    Stream stream;
    const double peak = gemm_peak(stream, tiny);
    const CopyRates copies = copy_rates(tiny);
    fmt::print(
        R"({{"device": "{}", "architecture": "{}", "driver": "{}", "memory": {}, )"
        R"("gemm_bf16": {:.5g}, "copy_in": {:.5g}, "copy_out": {:.5g}, "copy_both": {:.5g}}})"
        "\n",
        info.name, info.architecture, info.driver, info.memory, peak, copies.in, copies.out,
        copies.both);
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.text());
    return error.exit_code();
  }
}
