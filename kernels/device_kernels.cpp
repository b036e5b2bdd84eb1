#include "kernels/device_kernels.hpp"

#include "kernels/base/device_backend.hpp"

namespace trireme::kernels {

const DeviceKernels& device_kernels() { return device_backend().kernels(); }

}  // namespace trireme::kernels
