#pragma once
// Parallel loops for kernels, over rows or fixed chunks with raw-pointer bodies. Private to the
// .cpp files of kernels/: it includes Kokkos.
//
// Write the body as a plain loop over __restrict pointers with `#pragma omp simd` (reduction(...)
// for sums): element lambdas and nested Kokkos ranges are 3 to 6 times slower with GCC.
//
// Determinism: a chunk's bounds depend on the sizes alone, never on the threads, and which thread
// runs it has no influence on what it writes. Sums over chunks are taken in chunk order
// (sum_chunks). So results are the same bits for any number of threads and both execution spaces.
//
// Bodies must not throw: check arguments before the loop.

#include "kernels/base/checked.hpp"
#include "kernels/base/runtime.hpp"
#include "kernels/base/scratch.hpp"

#include <Kokkos_Core.hpp>

#include <atomic>
#include <cstdint>
#include <string>

namespace trireme {

namespace detail {

/// Runs worker(w) for w in [0, workers), each on a thread of its own where the space has them.
/// What a worker calls runs serially: a team inside a team would only fight for the cores.
template <class Space, class Worker>
void run_workers(const char* label, std::int64_t workers, const Worker& worker) {
  thread_local std::string name;  // kept: a label must not allocate in the steady state
  name.assign(label);
  using Policy = Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>;
  Kokkos::parallel_for(name, Policy(0, workers, Kokkos::ChunkSize(1)), [&](const std::int64_t w) {
    const ExecutionScope alone(Execution::serial);
    worker(w);
  });
}

template <class Worker>
void run_workers(const char* label, std::int64_t workers, const Worker& worker) {
  if (execution() == Execution::openmp)
    run_workers<Kokkos::DefaultHostExecutionSpace>(label, workers, worker);  // OpenMP where built
  else
    run_workers<Kokkos::Serial>(label, workers, worker);
}

}  // namespace detail

enum class Balance : std::uint8_t {
  even,    ///< chunks cost alike: neighbours go to one thread, always the same one
  dynamic  ///< costs differ (causal attention): the next free thread takes the next chunk
};

/// Calls f(chunk, begin, end) for the chunks [0, chunk_size), [chunk_size, 2 chunk_size), ... of
/// [0, total). Synchronous.
template <class F>
void for_chunks(const char* label, std::int64_t total, std::int64_t chunk_size, const F& f,
                Balance balance = Balance::even) {
  if (total <= 0) return;
  const std::int64_t chunks = divide_up(total, chunk_size);
  const std::int64_t threads = execution_threads();
  const std::int64_t workers = threads < chunks ? threads : chunks;
  const auto run = [&](std::int64_t c) {
    const std::int64_t begin = c * chunk_size;
    f(c, begin, begin + chunk_size < total ? begin + chunk_size : total);
  };
  if (workers > 1 && balance == Balance::dynamic) {
    std::atomic<std::int64_t> next{0};
    detail::run_workers(label, workers, [&](std::int64_t) {
      for (std::int64_t c = next++; c < chunks; c = next++) run(c);
    });
    return;
  }
  detail::run_workers(label, workers, [&](std::int64_t w) {
    const Range mine = split_evenly(chunks, workers, w);
    for (std::int64_t c = mine.begin; c < mine.end; ++c) run(c);
  });
}

/// Calls f(begin, end) on row ranges of at most `grain` rows that cover [0, rows). Choose the
/// grain so that a range is worth about 10 us or more: a launch costs 2 us.
template <class F>
void for_rows(const char* label, std::int64_t rows, std::int64_t grain, const F& f,
              Balance balance = Balance::even) {
  for_chunks(
      label, rows, grain,
      [&](std::int64_t, std::int64_t begin, std::int64_t end) { f(begin, end); }, balance);
}

/// f(begin, end) -> T summed over the chunks in chunk order: the same bits for any thread count.
/// T is a number or a struct with operator+=.
template <class T, class F>
T sum_chunks(const char* label, std::int64_t total, std::int64_t chunk_size, const F& f) {
  if (total <= 0) return T{};
  const std::int64_t chunks = divide_up(total, chunk_size);
  ScratchFrame frame;
  T* partial = frame.take<T>(chunks);
  for_chunks(label, total, chunk_size, [&](std::int64_t c, std::int64_t begin, std::int64_t end) {
    partial[c] = f(begin, end);
  });
  T sum{};
  for (std::int64_t c = 0; c < chunks; ++c) sum += partial[c];
  return sum;
}

}  // namespace trireme
