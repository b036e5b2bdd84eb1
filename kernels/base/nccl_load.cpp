// NCCL of the machine: libnccl.so.2 wherever the loader finds it (jobs/local/gpu-env.sh adds the
// places of NVIDIA's toolkit and Python wheels).

#include "kernels/base/error.hpp"
#include "kernels/base/nccl_functions.hpp"

#include <dlfcn.h>

namespace trireme {
namespace {

constexpr char kName[] = "libnccl.so.2";
constexpr char kAdvice[] =
    "install NCCL (a package of the CUDA toolkit, or the Python wheel nvidia-nccl-cu13) and add "
    "its "
    "folder to LD_LIBRARY_PATH, or set parallel.transport \"host\"";

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  check(function != nullptr, Exit::kUsage, "{} has no {}: it is too old; {}", kName, name, kAdvice);
}

}  // namespace

NcclFunctions load_nccl() {
  void* library = dlopen(kName, RTLD_NOW | RTLD_LOCAL);  // for as long as the program runs
  if (!library) fail(Exit::kUsage, "{} was not found ({}): {}", kName, dlerror(), kAdvice);
  NcclFunctions f;
  find(library, "ncclGetVersion", f.get_version);
  find(library, "ncclGetUniqueId", f.get_unique_id);
  find(library, "ncclCommInitRankConfig", f.join);
  find(library, "ncclCommGetAsyncError", f.get_state);
  find(library, "ncclCommFinalize", f.finalize);
  find(library, "ncclCommDestroy", f.destroy);
  find(library, "ncclCommAbort", f.abort);
  find(library, "ncclGroupStart", f.group_start);
  find(library, "ncclGroupEnd", f.group_end);
  find(library, "ncclSend", f.send);
  find(library, "ncclRecv", f.receive);
  find(library, "ncclAllGather", f.all_gather);
  find(library, "ncclBroadcast", f.broadcast);
  find(library, "ncclGetErrorString", f.text_of);
  find(library, "ncclGetLastError", f.last_error);
  return f;
}

}  // namespace trireme
