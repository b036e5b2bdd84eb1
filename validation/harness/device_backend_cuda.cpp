// The device of a program of kernel tests: CUDA, on a GPU or emulated.

#include "validation/harness/device_fixture.hpp"

namespace trireme::validation {

DeviceBackend* test_backend() { return &cuda_backend(); }

}  // namespace trireme::validation
