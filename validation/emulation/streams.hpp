#pragma once
// What the parts of the emulated runtime share. Private to this folder.

#include <cuda_runtime.h>

#include <cstdint>
#include <mutex>

namespace emulation {

struct Recorded;

}  // namespace emulation

/// Numbers of work count from 1; [done + 1, given] are in the list.
struct CUstream_st {
  emulation::Work* first = nullptr;
  emulation::Work* last = nullptr;
  std::uint64_t given = 0;
  std::uint64_t done = 0;
  emulation::Recorded* recorded = nullptr;  ///< where work goes in place of the list
};

namespace emulation {

/// Held by the thread that looks at streams or does their work.
std::recursive_mutex& device_mutex();

/// What the runtime says at present: success, unless a test chose an error (emulation.hpp).
cudaError_t answer();
/// Everything that streams hold is done: what giving back memory does.
void finish_all();

/// Work of a stream whose capture has begun; the caller holds device_mutex(). An error where it is
/// no part of a graph.
cudaError_t record(CUstream_st& stream, Work* work, bool at_once);
/// Whether this call is none for a thread that records a stream, or for a stream that is recorded:
/// what waits, takes memory or orders streams. The recording is then broken.
bool breaks_recording(cudaStream_t stream = nullptr);

}  // namespace emulation
