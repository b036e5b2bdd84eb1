#include "lib/engine/open_device.hpp"

#include "kernels/base/device.hpp"
#include "kernels/gemm/gemm.hpp"
#include "lib/comm/on_all_ranks.hpp"

namespace trireme::engine {

void open_device(const comm::World& world, const deck::Deck& deck) {
  if (deck.run.device == "cpu") return;
  comm::on_all_ranks(world, [&] {
    if (DeviceBackend* linked = linked_device_backend()) use_device_backend(*linked);
    select_device(world.node_rank() % device_count());
    if (deck.precision.fp8) kernels::expect_fp8_products(MemorySpace::device);
  });
}

}  // namespace trireme::engine
