#include "lib/engine/peak.hpp"

#include "io/metrics/peak_cache.hpp"
#include "kernels/base/device.hpp"
#include "kernels/gemm/gemm.hpp"
#include "lib/comm/on_all_ranks.hpp"
#include "lib/engine/agree.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>

namespace trireme::engine {
namespace {

/// Cores that this process may run on.
int cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

double measure(const deck::PrecisionConfig& precision, double seconds, MemorySpace space) {
  const DType dtype = precision.compute;
  if (space == MemorySpace::host) return kernels::measure_gemm_peak(dtype, seconds);
  Stream stream;
  const StreamScope scope(stream);
  return kernels::measure_gemm_peak(dtype, seconds, space, precision.tf32);
}

}  // namespace

PeakFlops peak_flops(const comm::World& world, const deck::Deck& deck, const Runtime& runtime) {
  if (deck.report.peak_flops)
    return {*deck.report.peak_flops * world.size(), "report.peak_flops of the deck, times ranks"};
  const DType dtype = deck.precision.compute;
  const MemorySpace space = deck.run.device == "cpu" ? MemorySpace::host : MemorySpace::device;
  constexpr double kSeconds = 0.3;
  constexpr double kGlance = 0.01;

  // Whether the cache knows the number, and a glance at the machine does not belie it, is rank 0's
  // to say; measuring is for all ranks at once, as they train.
  io::PeakKey key = io::this_machine();
  key.library = kernels::gemm_path(dtype, space);
  const bool tf32 = deck.precision.tf32 && space == MemorySpace::device;
  key.dtype = tf32 ? "tf32" : name_of(dtype);
  key.threads = runtime.threads();
  key.ranks = world.size();
  // Ranks may outnumber cores: only as many as find a core each measure, the others keep still.
  const int busy = std::max(1, cores() / runtime.threads());
  const auto together = [&](double seconds) {
    world.barrier();
    const bool measures = world.node_rank() < busy;
    return sum_over_ranks(world, measures ? measure(deck.precision, seconds, space) : 0.0);
  };
  const double glance = together(kGlance);
  struct Missing {};
  double peak = 0;
  std::string source;
  if (world.rank() == 0) {
    try {
      const auto known = io::cached_peak(
          key, []() -> double { throw Missing{}; }, io::cache_folder(), glance);
      peak = known.flops;
      source = fmt::format("{}, measured {}, kept in the cache", key.library, known.measured);
    } catch (const Missing&) {
    }
  }
  if (broadcast_number(world, peak > 0) == 0) {
    peak = std::max(glance, together(kSeconds));
    if (world.rank() == 0) {
      io::cached_peak(
          key, [&] { return peak; }, io::cache_folder(), peak);
      source = fmt::format("{}, measured at start, all cores of a node at once", key.library);
    }
  }
  MPI_Bcast(&peak, 1, MPI_DOUBLE, 0, world.comm());
  return {peak, comm::broadcast_text(world, source)};
}

}  // namespace trireme::engine
