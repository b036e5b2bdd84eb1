// Devices by the CUDA runtime.

#include "kernels/base/device_cuda.hpp"

#include "kernels/base/device_backend.hpp"
#include "kernels/device_kernels.hpp"

#include <cuda_runtime.h>
#include <fmt/format.h>

namespace trireme {
namespace {

Exit exit_of(cudaError_t status) {
  switch (status) {
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorMemoryAllocation: return Exit::kUsage;
    case cudaErrorDevicesUnavailable:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorContained:
    case cudaErrorLaunchTimeout:
    case cudaErrorUnknown:  // what a GPU that fell off its bus often answers
    case cudaErrorSystemNotReady: return Exit::kPeer;
    default: return Exit::kUnexpected;
  }
}

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string advice(cudaError_t status) {
  int driver = 0;
  int built = 0;
  switch (status) {
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice: return "run on a machine with an NVIDIA GPU, or on the host";
    case cudaErrorInsufficientDriver:
      cudaDriverGetVersion(&driver);
      cudaRuntimeGetVersion(&built);
      if (driver == 0)
        return "there is no NVIDIA driver here: run on a machine with a GPU, or on the host";
      return fmt::format("the driver knows CUDA {}, this program needs {}: install a newer driver",
                         version_text(driver), version_text(built));
    case cudaErrorSystemDriverMismatch:
      return "the driver in the kernel and its library differ: load the installed one (reboot)";
    case cudaErrorNoKernelImageForDevice:
      return "the program was not built for this GPU: add it to CMAKE_CUDA_ARCHITECTURES";
    case cudaErrorMemoryAllocation: {
      std::size_t free = 0;
      std::size_t total = 0;
      cudaMemGetInfo(&free, &total);
      return fmt::format(
          "{} of {} MiB are free on the device: choose smaller micro-batches, "
          "recomputation or offload",
          free >> 20, total >> 20);
    }
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureIsolation: return "it can't be part of a graph";
    default:
      return exit_of(status) == Exit::kPeer
                 ? "the device was lost: look at nvidia-smi and the system's log, submit again"
                 : "this is a bug";
  }
}

/// What a stream recorded until now, for as long as this lives; null where it can't be a graph.
struct Recorded {
  explicit Recorded(cudaStream_t stream) : status(cudaStreamEndCapture(stream, &graph)) {}
  ~Recorded() {
    if (graph) cudaGraphDestroy(graph);
  }
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;

  cudaGraph_t graph = nullptr;
  cudaError_t status;
};

class CudaBackend final : public DeviceBackend {
 public:
  const kernels::DeviceKernels& kernels() const override {
    static const kernels::DeviceKernels table = kernels::cuda_kernels();
    return table;
  }
  LinkBackend& links() override { return nccl_links(); }

  int count() override {
    int devices = 0;
    expect_cuda(cudaGetDeviceCount(&devices), "looking for devices");
    return devices;
  }
  void select(int index) override {
    expect_cuda(cudaSetDevice(index), fmt::format("taking device {}", index).c_str());
  }
  DeviceInfo describe(int index) override {
    cudaDeviceProp properties{};
    expect_cuda(cudaGetDeviceProperties(&properties, index), "describing a device");
    int driver = 0;
    expect_cuda(cudaDriverGetVersion(&driver), "asking for the driver's version");
    char place[32] = {};
    expect_cuda(cudaDeviceGetPCIBusId(place, sizeof(place), index), "asking for a device's place");
    return {properties.name,
            fmt::format("{}.{}", properties.major, properties.minor),
            version_text(driver),
            place,
            static_cast<std::int64_t>(properties.totalGlobalMem),
            properties.multiProcessorCount};
  }
  DeviceMemoryState memory_state() override {
    std::size_t free = 0;
    std::size_t total = 0;
    expect_cuda(cudaMemGetInfo(&free, &total), "asking for free memory");
    return {static_cast<std::int64_t>(free), static_cast<std::int64_t>(total)};
  }

  void* allocate(std::int64_t bytes) override {
    void* memory = nullptr;
    expect_cuda(cudaMalloc(&memory, static_cast<std::size_t>(bytes)),
                fmt::format("taking {} bytes of device memory", bytes).c_str());
    return memory;
  }
  void free(void* memory) noexcept override { cudaFree(memory); }
  void* allocate_pinned(std::int64_t bytes) override {
    void* memory = nullptr;
    expect_cuda(cudaMallocHost(&memory, static_cast<std::size_t>(bytes)),
                fmt::format("taking {} bytes of pinned host memory", bytes).c_str());
    return memory;
  }
  void free_pinned(void* memory) noexcept override { cudaFreeHost(memory); }

  void pin(void* memory, std::int64_t bytes) override {
    expect_cuda(cudaHostRegister(memory, static_cast<std::size_t>(bytes), cudaHostRegisterPortable),
                fmt::format("page-locking {} bytes of host memory", bytes).c_str());
  }
  void unpin(void* memory) noexcept override { cudaHostUnregister(memory); }

  void* make_stream() override {
    cudaStream_t stream = nullptr;
    expect_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
    return stream;
  }
  void end_stream(void* stream) noexcept override {
    cudaStreamDestroy(static_cast<cudaStream_t>(stream));
  }
  void wait_stream(void* stream) override {
    expect_cuda(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "waiting for a stream");
  }
  void copy(void* to, const void* from, std::int64_t bytes, void* stream) override {
    expect_cuda(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDefault,
                                static_cast<cudaStream_t>(stream)),
                "copying");
  }

  void* make_event() override {
    cudaEvent_t event = nullptr;
    expect_cuda(cudaEventCreate(&event), "making an event");
    return event;
  }
  void end_event(void* event) noexcept override {
    cudaEventDestroy(static_cast<cudaEvent_t>(event));
  }
  void record(void* event, void* stream) override {
    expect_cuda(cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream)),
                "recording an event");
  }
  void order(void* event, void* stream) override {
    expect_cuda(
        cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event), 0),
        "ordering a stream");
  }
  void wait_event(void* event) override {
    expect_cuda(cudaEventSynchronize(static_cast<cudaEvent_t>(event)), "waiting for an event");
  }
  bool is_done(void* event) override {
    const cudaError_t status = cudaEventQuery(static_cast<cudaEvent_t>(event));
    if (status == cudaErrorNotReady) return false;
    expect_cuda(status, "asking for an event");
    return true;
  }
  double seconds(void* from, void* to) override {
    float milliseconds = 0;
    expect_cuda(cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(from),
                                     static_cast<cudaEvent_t>(to)),
                "timing");
    return 1e-3 * static_cast<double>(milliseconds);
  }

  /// Thread-local: other lanes' threads wait for events and start transfers of their own meanwhile.
  void begin_recording(void* stream) override {
    expect_cuda(
        cudaStreamBeginCapture(static_cast<cudaStream_t>(stream), cudaStreamCaptureModeThreadLocal),
        "recording a graph");
  }
  void end_recording(void* stream, void*& graph) override {
    const Recorded recorded(static_cast<cudaStream_t>(stream));
    expect_cuda(recorded.status, "recording a graph");
    auto made = static_cast<cudaGraphExec_t>(graph);
    if (made) {
      cudaGraphExecUpdateResultInfo unused{};
      if (cudaGraphExecUpdate(made, recorded.graph, &unused) == cudaSuccess) return;
      cudaGetLastError();
      cudaGraphExecDestroy(made);
      graph = nullptr;
    }
    expect_cuda(cudaGraphInstantiate(&made, recorded.graph, 0), "making a graph");
    graph = made;
  }
  void drop_recording(void* stream) noexcept override {
    const Recorded dropped(static_cast<cudaStream_t>(stream));
    cudaGetLastError();
  }
  void record_inside(void* event, void* stream) override {
    expect_cuda(
        cudaEventRecordWithFlags(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream),
                                 cudaEventRecordExternal),
        "recording an event in a graph");
  }
  void launch(void* graph, void* stream) override {
    expect_cuda(
        cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), static_cast<cudaStream_t>(stream)),
        "launching a graph");
  }
  void end_graph(void* graph) noexcept override {
    cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
  }
};

}  // namespace

void expect_cuda(int status, const char* what) {
  const auto code = static_cast<cudaError_t>(status);
  if (code == cudaSuccess) return;
  cudaGetLastError();  // an error that does not stick must not be met again by the next call
  fail(exit_of(code), "{}: CUDA says \"{}\" ({}); {}", what, cudaGetErrorString(code),
       cudaGetErrorName(code), advice(code));
}

void expect_no_fault(const char* what) {
  const cudaError_t status = cudaStreamQuery(static_cast<cudaStream_t>(current_stream().handle()));
  if (status != cudaErrorNotReady) expect_cuda(status, what);
}

DeviceBackend& cuda_backend() {
  static CudaBackend backend;
  return backend;
}

}  // namespace trireme
