#pragma once
// What CUDA code of kernels/ shares on the host side. Private to kernels/.

namespace trireme {

/// Throws what device.hpp promises unless a call of the CUDA runtime went well. `status` is its
/// cudaError_t, `what` the work at hand ("copying").
void expect_cuda(int status, const char* what);

}  // namespace trireme
