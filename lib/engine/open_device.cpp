#include "lib/engine/open_device.hpp"

#include "kernels/base/device.hpp"
#include "kernels/base/device_links.hpp"
#include "kernels/gemm/gemm.hpp"
#include "lib/comm/on_all_ranks.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace trireme::engine {
namespace {

using deck::Transport;

/// Which other rank of this node took the same device; empty where none did.
std::string shared_with(const comm::World& world) {
  std::array<char, 64> mine{};
  const std::string place = describe_device(selected_device()).place;
  place.copy(mine.data(), mine.size() - 1);
  std::vector<std::array<char, 64>> all(static_cast<std::size_t>(world.node_size()));
  constexpr int kBytes = static_cast<int>(mine.size());
  MPI_Allgather(mine.data(), kBytes, MPI_CHAR, all.data(), kBytes, MPI_CHAR, world.node_comm());
  for (int other = 0; other < world.node_size(); ++other)
    if (other != world.node_rank() && all[static_cast<std::size_t>(other)] == mine)
      return fmt::format(
          "rank {} shares GPU {} with another rank of its node (rank {} there), "
          "which NCCL refuses: start no more ranks on a node than it has GPUs",
          world.rank(), place, other);
  return "";
}

std::string why_no_library() {
  try {
    describe_links();
    return "";
  } catch (const Error& error) {
    return error.text();
  }
}

/// Why GPUs can't exchange data directly, as the lowest rank with a reason says; the same on all.
std::string why_no_links(const comm::World& world) {
  std::string mine = shared_with(world);
  if (mine.empty()) mine = why_no_library();
  const int candidate = mine.empty() ? world.size() : world.rank();
  int speaker = 0;
  MPI_Allreduce(&candidate, &speaker, 1, MPI_INT, MPI_MIN, world.comm());
  if (speaker == world.size()) return "";
  auto length = static_cast<int>(mine.size());
  MPI_Bcast(&length, 1, MPI_INT, speaker, world.comm());
  mine.resize(static_cast<std::size_t>(length));
  MPI_Bcast(mine.data(), length, MPI_CHAR, speaker, world.comm());
  return mine;
}

}  // namespace

deck::Deck open_device(const comm::World& world, const deck::Deck& deck) {
  deck::Deck settled = deck;
  if (deck.run.device == "cpu") return settled;
  comm::on_all_ranks(world, [&] {
    if (DeviceBackend* linked = linked_device_backend()) use_device_backend(*linked);
    select_device(world.node_rank() % device_count());
    if (deck.precision.fp8) kernels::expect_fp8_products(MemorySpace::device);
  });
  Transport& transport = settled.parallel.transport;
  if (world.size() == 1 || transport == Transport::host) return settled;
  const auto guard = world.watch({"finding out how GPUs exchange data"});
  const std::string why = why_no_links(world);
  if (transport == Transport::nccl && !why.empty())
    fail(Exit::kUsage, "parallel.transport \"nccl\": {}; or set it to \"host\" or \"auto\"", why);
  if (!why.empty())
    settled.warnings.push_back(
        {"parallel.transport", 0,
         fmt::format("parallel.transport \"auto\": GPUs exchange data through host memory: {}",
                     why)});
  transport = why.empty() ? Transport::nccl : Transport::host;
  return settled;
}

}  // namespace trireme::engine
