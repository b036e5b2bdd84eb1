// What a GPU that fails looks like to a program: each fault of the driver as its named error; and
// that the emulated GPU finds the mistakes that it is there to find.

#include "kernels/base/device.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/gemm/gemm.hpp"
#include "validation/emulation/emulation.hpp"
#include "validation/harness/reference_math.hpp"

#include <cuda_runtime.h>

#include <algorithm>
#include <string>

namespace trireme {
namespace {

const auto* const kRuntime = validation::with_runtime_and_device(1);

struct Caught {
  Exit code = Exit::kOk;
  std::string text;
};
template <class F>
Caught caught(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return {error.code(), error.text()};
  }
  return {};
}

TEST(DeviceErrors, EachHasItsNameAndExitCode) {
  struct Case {
    cudaError_t status;
    Exit code;
    const char* says;
  };
  for (const Case& c : {Case{cudaErrorNoDevice, Exit::kUsage, "a machine with an NVIDIA GPU"},
                        Case{cudaErrorNoKernelImageForDevice, Exit::kUsage, "ARCHITECTURES"},
                        Case{cudaErrorECCUncorrectable, Exit::kPeer, "was lost"},
                        Case{cudaErrorLaunchTimeout, Exit::kPeer, "submit again"},
                        Case{cudaErrorUnknown, Exit::kPeer, "was lost"},
                        Case{cudaErrorIllegalAddress, Exit::kUnexpected, "a bug"}}) {
    emulation::answer_with(c.status);
    const Caught found = caught([] { device_count(); });
    const Caught waiting = caught([] { current_stream().wait(); });
    emulation::answer_with(0);
    EXPECT_EQ(found.code, c.code);
    EXPECT_EQ(waiting.code, c.code);
    EXPECT_NE(found.text.find(c.says), std::string::npos) << found.text;
  }
  EXPECT_EQ(device_count(), 1);
}

// A product's library knows that it failed, not that its device did.
TEST(DeviceErrors, ALibraryThatFailsOnALostDeviceNamesTheDevice) {
  const DeviceMemory memory(3 * 16 * 16 * 4);
  auto* values = static_cast<float*>(memory.data());
  const auto matrix = [&](int k) {
    return TensorView(values + k * 256, {16, 16}, DType::f32, 0, MemorySpace::device);
  };
  const auto product = [&] { kernels::gemm(matrix(0), matrix(1), matrix(2)); };
  product();  // its plan stands
  emulation::answer_with(cudaErrorECCUncorrectable);
  const Caught found = caught(product);
  emulation::answer_with(0);
  EXPECT_EQ(found.code, Exit::kPeer);
  EXPECT_NE(found.text.find("was lost"), std::string::npos) << found.text;
}

TEST(DeviceErrors, AMissingDriverIsNoOldOne) {
  emulation::set_driver(12040);
  const Caught old = caught([] { device_count(); });
  emulation::set_driver(0);
  const Caught none = caught([] { device_count(); });
  emulation::set_driver(13000);
  EXPECT_EQ(old.code, Exit::kUsage);
  EXPECT_NE(old.text.find("knows CUDA 12.4, this program needs 13.0"), std::string::npos)
      << old.text;
  EXPECT_EQ(none.code, Exit::kUsage);
  EXPECT_NE(none.text.find("no NVIDIA driver here"), std::string::npos) << none.text;
}

TEST(DeviceErrors, ProductsInFp8NeedAda) {
  emulation::set_capability(86);
  const Caught older = caught([] { kernels::expect_fp8_products(MemorySpace::device); });
  emulation::set_capability(89);
  kernels::expect_fp8_products(MemorySpace::device);
  emulation::set_capability(90);
  EXPECT_EQ(older.code, Exit::kUsage);
  EXPECT_NE(older.text.find("capability 8.9 or more (Ada, Hopper), found emulated with 8.6"),
            std::string::npos)
      << older.text;
}

TEST(DeviceErrors, MemoryIsGivenBack) {
  const std::int64_t before = emulation::memory_in_use();
  {
    const DeviceMemory memory(1000);
    EXPECT_EQ(emulation::memory_in_use(), before + 1024);
  }
  EXPECT_EQ(emulation::memory_in_use(), before);
}

// ---- planted faults
// --------------------------------------------------------------------------------

void half_waits() {
  if (threadIdx.x < 32) __syncthreads();
  if (threadIdx.x >= 32) __syncwarp();
  __shfl_xor_sync(0xffffffffu, 1, threadIdx.x < 16 ? 1 : 2);
  if (threadIdx.x % 2 == 0) __syncwarp();
}

cudaLaunchConfig_t two_warps() {
  cudaLaunchConfig_t config{};
  config.blockDim = dim3(64);
  return config;
}

/// Each thread reads what another one wrote; the kernel's own shared memory starts with zeros.
template <bool kBarrier>
void reverse(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = static_cast<int>(threadIdx.x) + 1;
  if constexpr (kBarrier) __syncthreads();
  out[threadIdx.x] = values[63 - threadIdx.x];
}

TEST(Emulation, AMissingBarrierChangesResults) {
  const auto config = two_warps();
  int right[64], wrong[64];
  EXPECT_EQ(cudaLaunchKernelEx(&config, reverse<true>, right), cudaSuccess);
  EXPECT_EQ(cudaLaunchKernelEx(&config, reverse<false>, wrong), cudaSuccess);
  for (int t = 0; t < 64; ++t) EXPECT_EQ(right[t], 64 - t);
  EXPECT_GT(std::count(wrong, wrong + 64, 0), 0);
}

TEST(Emulation, ABarrierThatSomeNeverReachIsAnError) {
  const auto config = two_warps();
  EXPECT_EQ(caught([&] { static_cast<void>(cudaLaunchKernelEx(&config, half_waits)); }).code,
            Exit::kUnexpected);
}

TEST(Emulation, NewMemoryHoldsNaN) {
  const DeviceMemory memory(400);
  const TensorView view(memory.data(), {100}, DType::f32, 0, MemorySpace::device);
  EXPECT_EQ(kernels::count_non_finite(view), 100);
}

// ---- graphs
// ----------------------------------------------------------------------------------------

void record_scale(Graph& graph, const TensorView& x, int times) {
  Recording recording(current_stream());
  for (int i = 0; i < times; ++i) kernels::scale(x, 2);
  recording.into(graph);
}

TEST(EmulatedGraphs, AreUpdatedInPlaceOrMadeAnew) {
  const validation::TestTensor x({8}, DType::f32);
  const TensorView view = x.view();
  const emulation::GraphCounts before = emulation::graph_counts();
  Graph graph;
  record_scale(graph, view, 2);
  record_scale(graph, view, 2);
  record_scale(graph, view, 3);
  graph.launch(current_stream());
  const emulation::GraphCounts after = emulation::graph_counts();
  EXPECT_EQ(after.made - before.made, 2);
  EXPECT_EQ(after.updated - before.updated, 1);
  EXPECT_EQ(after.launched - before.launched, 1);
  Graph refused;
  emulation::refuse_graphs(cudaErrorMemoryAllocation);
  const Caught found = caught([&] { record_scale(refused, view, 1); });
  emulation::refuse_graphs(0);
  EXPECT_EQ(found.code, Exit::kUsage);
  EXPECT_NE(found.text.find("making a graph"), std::string::npos) << found.text;
  EXPECT_TRUE(refused.empty());
}

/// A launch outlives the graph, and what it waits for is known outside by plain marks alone.
TEST(EmulatedGraphs, MarksInsideAreNotSeenOutside) {
  auto x = validation::TestTensor::random({8}, DType::f32, 1);
  const validation::TestTensor seen({8}, DType::f32);
  const TensorView from = x.view();
  const TensorView to = seen.view();
  const std::vector<double> before = x.values();
  Stream other;
  Event mark;
  {
    Graph graph;
    Recording recording(current_stream());
    kernels::scale(from, 2);
    mark.record_inside(current_stream());
    recording.into(graph);
    graph.launch(current_stream());
  }
  {
    const StreamScope scope(other);
    mark.order(other);
    kernels::copy(from, to);
    other.wait();
  }
  current_stream().wait();
  EXPECT_EQ(seen.values(), before);  // too early
  EXPECT_EQ(x.values()[0], 2 * before[0]);
}

TEST(EmulatedGraphs, WhatCannotBeRecordedIsRefused) {
  const auto x = validation::TestTensor::random({8}, DType::f32, 1);
  const TensorView view = x.view();
  Stream other;
  Event event;
  event.record(other);
  std::vector<float> host(8);
  const auto refused = [&](const auto& f) {
    Graph graph;
    const Caught found = caught([&] {
      Recording recording(current_stream());
      f();
      recording.into(graph);
    });
    EXPECT_NE(found.text.find("part of a graph"), std::string::npos) << found.text;
  };
  refused([&] { current_stream().wait(); });
  refused([&] { event.order(current_stream()); });
  refused([&] { event.record(current_stream()); });
  refused([&] { event.done(); });
  refused([&] { copy_bytes(view.data, host.data(), 32); });  // not pinned: it would wait
  current_stream().wait();
}

}  // namespace
}  // namespace trireme
