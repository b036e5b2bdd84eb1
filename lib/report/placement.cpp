#include "lib/report/placement.hpp"

#include <sched.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <bit>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace trireme::report {
namespace {

/// A rank's machine, and a bit for each of its hardware threads (at most 4096).
struct Place {
  std::uint64_t machine = 0;
  std::array<std::uint64_t, 64> cores{};
};

/// Containers and namespaces of a machine have hostnames of their own, but one kernel.
std::uint64_t this_machine_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  if (!std::getline(file, id)) {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    id = host.data();
  }
  return XXH3_64bits(id.data(), id.size());
}

/// Of all threads: OpenMP binds the first one to a part of what the process was given.
std::array<std::uint64_t, 64> cores_of_process() {
  std::array<std::uint64_t, 64> cores{};
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    const std::string name = task.path().filename().string();
    pid_t thread = 0;
    std::from_chars(name.data(), name.data() + name.size(), thread);
    std::array<std::uint64_t, 64> mask{};
    if (sched_getaffinity(thread, sizeof(mask), reinterpret_cast<cpu_set_t*>(mask.data())) != 0)
      continue;  // it has ended meanwhile
    for (std::size_t i = 0; i < cores.size(); ++i) cores[i] |= mask[i];
  }
  return cores;
}

}  // namespace

Placement placement_of(const comm::World& world) {
  const Place own{this_machine_id(), cores_of_process()};
  std::vector<Place> all(world.rank() == 0 ? static_cast<std::size_t>(world.size()) : 0);
  MPI_Gather(&own, sizeof(Place), MPI_BYTE, all.data(), sizeof(Place), MPI_BYTE, 0, world.comm());
  std::map<std::uint64_t, std::array<std::uint64_t, 64>> machines;
  for (const Place& place : all) {
    auto& cores = machines.try_emplace(place.machine).first->second;
    for (std::size_t i = 0; i < cores.size(); ++i) cores[i] |= place.cores[i];
  }
  Placement placement;
  placement.machines = static_cast<std::int64_t>(machines.size());
  for (const auto& [machine, cores] : machines)
    for (const std::uint64_t word : cores) placement.cores += std::popcount(word);
  return placement;
}

}  // namespace trireme::report
