// In place of links_nccl.cpp where nccl.h was not found when the program was built.

#include "kernels/base/device_backend.hpp"
#include "kernels/base/device_cuda.hpp"

namespace trireme {

LinkBackend& nccl_links() {
  fail(Exit::kUsage,
       "this program was built without NCCL: install its header (nccl.h, libnccl-dev) and "
       "configure again, or set parallel.transport \"host\"");
}

}  // namespace trireme
