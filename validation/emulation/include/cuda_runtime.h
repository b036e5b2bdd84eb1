#pragma once
// The part of the CUDA runtime that kernels/ uses, carried out by the calling thread: the names and
// signatures are CUDA's, what they do is in emulation.cpp. On the include path of the library
// trireme_emulated only, in place of the toolkit's header.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <tuple>
#include <utility>

#define __global__
#define __launch_bounds__(...)
#define __device__
#define __host__
#define __shared__ thread_local

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};

inline thread_local uint3 threadIdx;
inline thread_local uint3 blockIdx;
inline thread_local dim3 blockDim;
inline thread_local dim3 gridDim;

enum cudaError_t {  // NOLINT: CUDA's names and numbers
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorECCUncorrectable = 214,
  cudaErrorNvlinkUncorrectable = 220,
  cudaErrorContained = 721,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchTimeout = 702,
  cudaErrorHardwareStackError = 714,
  cudaErrorUnknown = 999,
  cudaErrorSystemNotReady = 802,
  cudaErrorSystemDriverMismatch = 803,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorGraphExecUpdateFailure = 910,
};

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
struct cudaGraphExecUpdateResultInfo {};
inline constexpr unsigned cudaEventRecordExternal = 1;
enum cudaMemcpyKind { cudaMemcpyDeviceToDevice = 3, cudaMemcpyDefault = 4 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
inline constexpr unsigned cudaStreamNonBlocking = 1;

struct cudaDeviceProp {
  char name[256];
  int major, minor;
  std::size_t totalGlobalMem;
  int multiProcessorCount;
};

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

const char* cudaGetErrorString(cudaError_t status);
const char* cudaGetErrorName(cudaError_t status);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int index);
cudaError_t cudaGetDevice(int* index);
cudaError_t cudaDeviceGetPCIBusId(char* place, int bytes, int index);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int index);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocHost(void** memory, std::size_t bytes);
cudaError_t cudaFreeHost(void* memory);
inline constexpr unsigned cudaHostRegisterPortable = 1;
cudaError_t cudaHostRegister(void* memory, std::size_t bytes, unsigned flags);
cudaError_t cudaHostUnregister(void* memory);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t made, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* result);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaMemset2DAsync(void* memory, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream);

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int bytes) {
  return bytes <= 227 << 10 ? cudaSuccess : cudaErrorInvalidValue;
}

namespace emulation {

/// A call that is made later. In memory of its own, which no allocation counter sees.
struct Work {
  Work* next = nullptr;
  bool (*run)(Work*) = nullptr;  ///< false: not done yet, to be tried again
  void (*drop)(Work*) = nullptr;
};

/// `call` says whether it is done.
template <class F>
Work* make_trial(F call) {
  struct Held : Work {
    F call;
    explicit Held(F f) : call(std::move(f)) {}
  };
  static_assert(alignof(Held) <= alignof(std::max_align_t));
  auto* held = new (std::malloc(sizeof(Held))) Held(std::move(call));
  held->run = [](Work* work) { return static_cast<Held*>(work)->call(); };
  held->drop = [](Work* work) {
    static_cast<Held*>(work)->~Held();
    std::free(work);
  };
  return held;
}
template <class F>
Work* make_work(F call) {
  return make_trial([call = std::move(call)] {
    call();
    return true;
  });
}

/// Behind what `stream` holds; without a stream, or where host memory that is not pinned takes part
/// (`at_once`), it is done before this returns. Into the graph where the stream is being recorded.
cudaError_t give(cudaStream_t stream, Work* work, bool at_once = false);

/// Whether a kernel may be launched so.
cudaError_t check_launch(const cudaLaunchConfig_t& config);
/// Runs body once for each thread of each block, one block at a time.
void run(const cudaLaunchConfig_t& config, const std::function<void()>& body);

inline constexpr std::size_t kSlot = 16;
/// Leaves `bytes` of this thread where its warp sees them, waits for the warp's other lanes, and
/// gives what `lane` of the warp left.
void exchange(const void* mine, void* theirs, std::size_t bytes, unsigned lane);
unsigned lane();

}  // namespace emulation

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const std::tuple<Parameters...> held(arguments...);
  static_assert(sizeof(held) <= 4096, "kernel parameters beyond CUDA's 4 KiB");
  if (const cudaError_t status = emulation::check_launch(*config); status != cudaSuccess)
    return status;
  const auto launch = [config = *config, kernel, held] {
    const auto body = [&] { std::apply(kernel, held); };
    emulation::run(config, std::ref(body));
  };
  return emulation::give(config->stream, emulation::make_work(launch));
}

void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);

template <class T>
T __shfl_sync(unsigned, T value, int source) {
  static_assert(sizeof(T) <= 8);
  T other;
  emulation::exchange(&value, &other, sizeof(T), static_cast<unsigned>(source) % 32);
  return other;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
  return __shfl_sync(mask, value, static_cast<int>(emulation::lane()) ^ distance);
}

inline unsigned __ballot_sync(unsigned mask, bool vote) {
  unsigned votes = 0;
  for (int i = 0; i < 32; ++i)
    votes |= static_cast<unsigned>(__shfl_sync(mask, vote ? 1 : 0, i)) << i;
  return votes;
}

template <class T>
T atomicAdd(T* place, T value) {
  const T old = *place;
  *place += value;
  return old;
}
template <class T>
T atomicMax(T* place, T value) {
  const T old = *place;
  if (old < value) *place = value;
  return old;
}
inline unsigned atomicOr(unsigned* place, unsigned value) {
  const unsigned old = *place;
  *place |= value;
  return old;
}
