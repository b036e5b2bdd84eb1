#pragma once
// NCCL's functions, as far as links use them: found at run time, because programs start where there
// is no NCCL. Private to kernels/base.

#include <nccl.h>

namespace trireme {

struct NcclFunctions {
  decltype(&ncclGetVersion) get_version = nullptr;
  decltype(&ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&ncclCommInitRankConfig) join = nullptr;
  decltype(&ncclCommGetAsyncError) get_state = nullptr;
  decltype(&ncclCommFinalize) finalize = nullptr;
  decltype(&ncclCommDestroy) destroy = nullptr;
  decltype(&ncclCommAbort) abort = nullptr;
  decltype(&ncclGroupStart) group_start = nullptr;
  decltype(&ncclGroupEnd) group_end = nullptr;
  decltype(&ncclSend) send = nullptr;
  decltype(&ncclRecv) receive = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;
  decltype(&ncclBroadcast) broadcast = nullptr;
  decltype(&ncclGetErrorString) text_of = nullptr;
  decltype(&ncclGetLastError) last_error = nullptr;
};

/// Exit::kUsage where there is no library, or one without these.
NcclFunctions load_nccl();

}  // namespace trireme
