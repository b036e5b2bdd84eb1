// Where the emulated GPU can't be built (its fibres confuse sanitizers) kernel tests have no
// device.

#include "validation/harness/device_fixture.hpp"

namespace trireme::validation {

DeviceBackend* test_backend() { return nullptr; }

}  // namespace trireme::validation
