#pragma once
// What CUDA code of kernels/ shares on the host side. Private to kernels/.

namespace trireme {

class LinkBackend;

/// Throws what device.hpp promises unless a call of the CUDA runtime went well. `status` is its
/// cudaError_t, `what` the work at hand ("copying").
void expect_cuda(int status, const char* what);

/// For a library's own "it failed": throws what the device itself has to say, if it has a fault
/// (lost, hardware). Kernels fail later than their call, and a library says no more than that.
void expect_no_fault(const char* what);

/// NCCL, found when it is first used.
LinkBackend& nccl_links();

}  // namespace trireme
