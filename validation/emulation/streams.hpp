#pragma once
// What the parts of the emulated runtime share. Private to this folder.

#include <cuda_runtime.h>

namespace emulation {

/// What the runtime says at present: success, unless a test chose an error (emulation.hpp).
cudaError_t answer();
/// Everything that streams hold is done: what giving back memory does.
void finish_all();

}  // namespace emulation
