// The back end of programs that are linked with CUDA's kernels.

#include "kernels/base/device.hpp"

namespace trireme {

DeviceBackend* linked_device_backend() { return &cuda_backend(); }

}  // namespace trireme
