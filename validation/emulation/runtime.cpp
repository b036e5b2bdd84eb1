// Devices, memory and streams of the emulated GPU: one device, every call done when it returns.

#include "validation/emulation/emulation.hpp"

#include <cuda_runtime.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

namespace emulation {
namespace {

using Clock = std::chrono::steady_clock;

struct Device {
  cudaError_t answer = cudaSuccess;
  int driver = 13000;
  std::mutex mutex;
  std::unordered_map<void*, std::size_t> blocks;
  std::int64_t in_use = 0;
};
Device& device() {
  static Device instance;
  return instance;
}

cudaError_t answer() {
  const Device& d = device();
  if (d.answer != cudaSuccess) return d.answer;
  return d.driver < 13000 ? cudaErrorInsufficientDriver : cudaSuccess;
}

}  // namespace

void answer_with(int status) { device().answer = static_cast<cudaError_t>(status); }
void set_driver(int version) { device().driver = version; }
std::int64_t memory_in_use() { return device().in_use; }

}  // namespace emulation

struct CUstream_st {};
struct CUevent_st {
  emulation::Clock::time_point at;
};

using emulation::answer;
using emulation::device;

const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorECCUncorrectable: return "cudaErrorECCUncorrectable";
    default: return "cudaError";
  }
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) {
  *version = device().driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return answer();
}
cudaError_t cudaSetDevice(int index) { return index == 0 ? answer() : cudaErrorInvalidDevice; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulated", 9, 0, static_cast<std::size_t>(emulation::kMemory), 1};
  return answer();
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = static_cast<std::size_t>(emulation::kMemory - device().in_use);
  *total = static_cast<std::size_t>(emulation::kMemory);
  return answer();
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  if (answer() != cudaSuccess) return answer();
  auto& d = device();
  const std::lock_guard lock(d.mutex);
  const std::size_t size = (bytes + 255) / 256 * 256;
  if (d.in_use + static_cast<std::int64_t>(size) > emulation::kMemory)
    return cudaErrorMemoryAllocation;
  *memory = std::aligned_alloc(256, size);
  std::memset(*memory, 0xff, size);  // NaN in every format
  d.blocks[*memory] = size;
  d.in_use += static_cast<std::int64_t>(size);
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  auto& d = device();
  const std::lock_guard lock(d.mutex);
  const auto found = d.blocks.find(memory);
  if (found == d.blocks.end()) return cudaErrorInvalidValue;
  d.in_use -= static_cast<std::int64_t>(found->second);
  d.blocks.erase(found);
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  return answer();
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return answer();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return answer(); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return answer(); }
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new CUevent_st;
  return answer();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->at = emulation::Clock::now();
  return answer();
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return answer(); }
cudaError_t cudaEventQuery(cudaEvent_t) { return answer(); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
  return answer();
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  std::memcpy(to, from, bytes);
  return answer();
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind, cudaStream_t) {
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
  for (std::size_t row = 0; row < height; ++row)
    std::memcpy(static_cast<std::byte*>(to) + row * to_pitch,
                static_cast<const std::byte*>(from) + row * from_pitch, width);
  return answer();
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return answer();
}
cudaError_t cudaMemset2DAsync(void* memory, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t) {
  if (width > pitch) return cudaErrorInvalidValue;
  for (std::size_t row = 0; row < height; ++row)
    std::memset(static_cast<std::byte*>(memory) + row * pitch, value, width);
  return answer();
}
