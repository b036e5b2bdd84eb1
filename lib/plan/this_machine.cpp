#include "lib/plan/this_machine.hpp"

#include <sched.h>
#include <unistd.h>

#include <array>

namespace trireme::plan {

Machine this_machine() {
  Machine machine;
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  machine.name = host.data();
  machine.scheduler = "none";
  machine.launcher = "mpirun --oversubscribe --bind-to none -n {ranks}";
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) machine.node.cores = CPU_COUNT(&set);
  machine.ranks_per_node = machine.node.cores;
  machine.node.memory = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  return machine;
}

}  // namespace trireme::plan
