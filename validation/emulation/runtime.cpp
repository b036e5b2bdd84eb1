// Devices, memory and copies of the emulated GPUs: a process uses one of them.

#include "validation/emulation/emulation.hpp"
#include "validation/emulation/streams.hpp"

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <unordered_map>

namespace emulation {
namespace {

struct Device {
  cudaError_t answer = cudaSuccess;
  int count = [] {
    const char* text = std::getenv("TRIREME_EMULATED_DEVICES");
    return text ? std::atoi(text) : 1;
  }();
  int selected = 0;
  int driver = 13000;
  int capability = 90;
  std::mutex mutex;
  std::unordered_map<void*, std::size_t> blocks;
  std::int64_t in_use = 0;
  std::int64_t allocations = 0;
  std::map<const std::byte*, std::size_t> pinned;  // host memory that copies need not wait for
};
Device& device() {
  static Device instance;
  return instance;
}

/// Whether a copy may go on behind the host's back: no end of it lies in ordinary host memory.
bool is_known(const void* memory) {
  Device& d = device();
  const auto* at = static_cast<const std::byte*>(memory);
  const std::lock_guard lock(d.mutex);
  const auto after = d.pinned.upper_bound(at);
  return after != d.pinned.begin() && at < std::prev(after)->first + std::prev(after)->second;
}

}  // namespace

cudaError_t answer() {
  const Device& d = device();
  if (d.answer != cudaSuccess) return d.answer;
  return d.driver < 13000 ? cudaErrorInsufficientDriver : cudaSuccess;
}

void answer_with(int status) { device().answer = static_cast<cudaError_t>(status); }
void set_driver(int version) { device().driver = version; }
void set_capability(int tens) { device().capability = tens; }
void set_devices(int count) { device().count = count; }
std::int64_t memory_in_use() { return device().in_use; }
std::int64_t allocations() { return device().allocations; }

}  // namespace emulation

using namespace emulation;

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
  *count = device().count;
  return answer();
}
cudaError_t cudaSetDevice(int index) {
  if (index < 0 || index >= device().count) return cudaErrorInvalidDevice;
  device().selected = index;
  return answer();
}
cudaError_t cudaGetDevice(int* index) {
  *index = device().selected;
  return answer();
}
cudaError_t cudaDeviceGetPCIBusId(char* place, int bytes, int index) {
  std::snprintf(place, static_cast<std::size_t>(bytes), "emulated:%d", index);
  return answer();
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  const int capability = device().capability;
  *properties = {"emulated", capability / 10, capability % 10,
                 static_cast<std::size_t>(emulation::kMemory), 1};
  return answer();
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = static_cast<std::size_t>(emulation::kMemory - device().in_use);
  *total = static_cast<std::size_t>(emulation::kMemory);
  return answer();
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  if (answer() != cudaSuccess) return answer();
  if (breaks_recording()) return cudaErrorStreamCaptureUnsupported;
  auto& d = device();
  const std::lock_guard lock(d.mutex);
  const std::size_t size = (bytes + 255) / 256 * 256;
  if (d.in_use + static_cast<std::int64_t>(size) > emulation::kMemory)
    return cudaErrorMemoryAllocation;
  *memory = std::aligned_alloc(256, size);
  std::memset(*memory, 0xff, size);  // NaN in every format
  d.blocks[*memory] = d.pinned[static_cast<std::byte*>(*memory)] = size;
  d.in_use += static_cast<std::int64_t>(size);
  ++d.allocations;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  if (breaks_recording()) return cudaErrorStreamCaptureUnsupported;
  finish_all();
  auto& d = device();
  const std::lock_guard lock(d.mutex);
  const auto found = d.blocks.find(memory);
  if (found == d.blocks.end()) return cudaErrorInvalidValue;
  d.in_use -= static_cast<std::int64_t>(found->second);
  d.blocks.erase(found);
  d.pinned.erase(static_cast<std::byte*>(memory));
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  return cudaHostRegister(*memory, bytes, 0);
}
cudaError_t cudaFreeHost(void* memory) {
  cudaHostUnregister(memory);
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaHostRegister(void* memory, std::size_t bytes, unsigned) {
  const std::lock_guard lock(device().mutex);
  device().pinned[static_cast<std::byte*>(memory)] = bytes;
  return answer();
}
cudaError_t cudaHostUnregister(void* memory) {
  finish_all();
  const std::lock_guard lock(device().mutex);
  device().pinned.erase(static_cast<std::byte*>(memory));
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return give(stream, make_work([=] { std::memcpy(to, from, bytes); }),
              !is_known(to) || !is_known(from));
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
  return give(stream, make_work([=] {
                for (std::size_t row = 0; row < height; ++row)
                  std::memcpy(static_cast<std::byte*>(to) + row * to_pitch,
                              static_cast<const std::byte*>(from) + row * from_pitch, width);
              }),
              !is_known(to) || !is_known(from));
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  return give(stream, make_work([=] { std::memset(memory, value, bytes); }));
}
cudaError_t cudaMemset2DAsync(void* memory, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream) {
  if (width > pitch) return cudaErrorInvalidValue;
  return give(stream, make_work([=] {
                for (std::size_t row = 0; row < height; ++row)
                  std::memset(static_cast<std::byte*>(memory) + row * pitch, value, width);
              }));
}
