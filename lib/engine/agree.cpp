#include "lib/engine/agree.hpp"

#include "kernels/base/error.hpp"

#include <array>

namespace trireme::engine {

std::int64_t broadcast_number(const comm::World& world, std::int64_t number,
                              std::source_location where) {
  const auto guard = world.watch({"agreeing with all ranks"}, where);
  MPI_Bcast(&number, 1, MPI_INT64_T, 0, world.comm());
  return number;
}

double sum_over_ranks(const comm::World& world, double value, std::source_location where) {
  const auto guard = world.watch({"agreeing with all ranks"}, where);
  double sum = 0;
  MPI_Allreduce(&value, &sum, 1, MPI_DOUBLE, MPI_SUM, world.comm());
  return sum;
}

void check_agreement(const comm::World& world, int stage, std::uint64_t value,
                     const std::string& what, std::source_location where) {
  const auto guard = world.watch({"agreeing with all ranks"}, where);
  MPI_Comm peers = MPI_COMM_NULL;
  MPI_Comm_split(world.comm(), stage, world.rank(), &peers);
  // max of value and of its complement: both ends of the range at once
  const std::array<std::uint64_t, 2> own{value, ~value};
  std::array<std::uint64_t, 2> most{};
  MPI_Allreduce(own.data(), most.data(), 2, MPI_UINT64_T, MPI_MAX, peers);
  MPI_Comm_free(&peers);
  int differs = most[0] != ~most[1];
  MPI_Allreduce(MPI_IN_PLACE, &differs, 1, MPI_INT, MPI_MAX, world.comm());
  check(differs == 0, Exit::kPeer,
        "ranks differ in {}: found {:x} here; start all ranks with the same program, deck and data",
        what, value);
}

}  // namespace trireme::engine
