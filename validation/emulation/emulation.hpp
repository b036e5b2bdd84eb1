#pragma once
// A GPU for tests: kernels/*.cu compiled as C++ and run by the thread that waits for them, every
// thread of a block a fibre that stops at barriers and shuffles. It finds what the arithmetic, the
// indices, the barriers and the order of streams do wrong; it knows nothing of speed, of memory
// that several blocks write at once, and nothing of the compiler nvcc.
//
// What it adds to a GPU: the order of blocks and of threads between two barriers changes from
// launch to launch (a missing barrier changes results), new memory holds NaN, a barrier that only
// some threads reach is an error, and so is a shuffle without all lanes of a warp. A stream does
// nothing until the host, or another stream, waits for it (a missing wait changes results). NCCL
// between the GPUs of several processes (nccl.cpp) blocks its stream until all members have come.

#include <cstdint>

namespace emulation {

/// From now on every call of the runtime answers this cudaError_t; 0 ends it.
void answer_with(int status);
/// Graphs: a recording keeps copies of all arguments, and calls that a real one refuses are
/// refused. Of events inside a graph nobody outside sees more than the time (a real launch shows
/// them).
struct GraphCounts {
  std::int64_t made = 0;
  std::int64_t updated = 0;
  std::int64_t launched = 0;
};
GraphCounts graph_counts();
/// From now on no graph is made from what was recorded: this cudaError_t is why; 0 ends it. At
/// first what TRIREME_EMULATED_GRAPH_ERROR in the environment says, or 0.
void refuse_graphs(int status);
/// Version of the interface that the driver claims to know, as CUDA counts (13000); 0 = no driver.
void set_driver(int version);
/// Compute capability times ten: 90, Hopper, at first.
void set_capability(int tens);
/// How many GPUs this process sees; at first what TRIREME_EMULATED_DEVICES in the environment says,
/// or 1.
void set_devices(int count);
/// From now on NCCL's communicators have met this ncclResult_t; 0 ends it.
void break_links(int status);
/// The version that NCCL says it has (22809); 0 = no library is found. Before it is first used.
void set_links_version(int version);
/// Bytes of device memory that exist: more is cudaErrorMemoryAllocation.
inline constexpr std::int64_t kMemory = std::int64_t{2} << 30;
/// Bytes of device memory in use, and how many pieces were ever taken.
std::int64_t memory_in_use();
std::int64_t allocations();
/// How many kernels were ever launched.
std::int64_t launches();
/// How often an event is asked in vain before the question does the work that it stands behind; at
/// first what TRIREME_EMULATED_PATIENCE in the environment says, or 0. Without patience copies are
/// early and kernels late; with much of it copies come when they are waited for.
void set_patience(int questions);
/// From now on streams do their work as soon as it can be done, as a GPU does.
void set_eager(bool eager);

}  // namespace emulation
