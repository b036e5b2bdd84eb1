#include "lib/state/device_tier.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace trireme::state {

DeviceTier::DeviceTier(std::int64_t bytes, void* host, std::int64_t host_bytes)
    : memory(round_up(bytes, std::int64_t{sizeof(float)})), pinned(host, host_bytes) {
  for (Stream* stream : {&compute, &copy_out, &copy_in, &comm}) stream->reserve_scratch(nullptr, 0);
  if (memory.bytes() == 0) return;
  const StreamScope scope(compute);
  const std::int64_t words = memory.bytes() / std::int64_t{sizeof(float)};
  kernels::fill({memory.data(), {words}, DType::f32, 0, MemorySpace::device}, 0);
  compute.wait();
}

/// Work in flight must not outlive its memory.
DeviceTier::~DeviceTier() {
  for (const Stream* stream : {&compute, &copy_out, &copy_in, &comm}) {
    try {
      stream->wait();
    } catch (const Error&) {  // a lost device works on nothing
    }
  }
}

}  // namespace trireme::state
