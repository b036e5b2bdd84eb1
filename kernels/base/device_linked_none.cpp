// Programs without a GPU back end.

#include "kernels/base/device.hpp"

namespace trireme {

DeviceBackend* linked_device_backend() { return nullptr; }

}  // namespace trireme
