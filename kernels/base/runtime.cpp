#include "kernels/base/runtime.hpp"

#include "kernels/base/cpu_guard.hpp"
#include "kernels/base/error.hpp"
#include "kernels/base/wide_loops.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <Kokkos_Core.hpp>
#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <atomic>

namespace trireme {
namespace {

std::atomic<int> g_team_threads{0};  // 0: no Runtime alive

/// This thread's choice. A thread other than the Runtime's starts serial, and its OpenMP team size
/// (which oneDNN follows) starts at one.
struct ThreadState {
  bool owns_team = false;
  Execution execution = Execution::serial;
  int threads = 1;

  ThreadState() { omp_set_num_threads(1); }
  void set(Execution where, int count) {
    execution = where;
    threads = count;
    omp_set_num_threads(count);
  }
};

ThreadState& state() {
  thread_local ThreadState instance;
  return instance;
}

std::string name_of_isa(dnnl::cpu_isa isa) {
  switch (isa) {
    case dnnl::cpu_isa::sse41: return "sse41";
    case dnnl::cpu_isa::avx: return "avx";
    case dnnl::cpu_isa::avx2: return "avx2";
    case dnnl::cpu_isa::avx2_vnni: return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core: return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni: return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16: return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx: return "avx512_core_amx";
    default: return fmt::format("isa {:#x}", static_cast<unsigned>(isa));
  }
}

}  // namespace

CpuFeatures cpu_features() {
  __builtin_cpu_init();
  CpuFeatures cpu;
  cpu.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  cpu.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  cpu.avx512_bf16 = cpu.avx512 && __builtin_cpu_supports("avx512bf16");
  cpu.avx512_fp16 = cpu.avx512 && __builtin_cpu_supports("avx512fp16");
  cpu.amx_bf16 = __builtin_cpu_supports("amx-bf16");
  return cpu;
}

bool wide_loops() {
  static const bool wide = [] {
    const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
    const auto wanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core);
    return (isa & wanted) == wanted;
  }();
  return wide;
}

std::string product_isa() { return name_of_isa(dnnl::get_effective_cpu_isa()); }

Runtime::Runtime(int threads) : cpu_(cpu_features()) {
  check(threads >= 0, Exit::kUsage, "expected a number of threads, found {}", threads);
  check(g_team_threads == 0, Exit::kUnexpected, "a second Runtime was made while one is alive");
  threads_ = threads > 0 ? threads : omp_get_max_threads();

  Kokkos::InitArguments arguments;
  arguments.num_threads = threads_;
  arguments.disable_warnings = true;  // about OMP_PROC_BIND: pinning is the launcher's business
  Kokkos::initialize(arguments);

  g_team_threads = threads_;
  state().owns_team = true;
  state().set(Execution::openmp, threads_);
}

Runtime::~Runtime() {
  state().set(Execution::serial, 1);
  state().owns_team = false;
  g_team_threads = 0;
  Kokkos::finalize();
}

std::map<std::string, std::string> Runtime::libraries() {
  const dnnl_version_t& products = *dnnl_version();
  return {{"Kokkos", fmt::format("{}.{}.{}", KOKKOS_VERSION / 10000, KOKKOS_VERSION / 100 % 100,
                                 KOKKOS_VERSION % 100)},
          {"oneDNN", fmt::format("{}.{}.{}", products.major, products.minor, products.patch)}};
}

std::string Runtime::describe() const {
  const auto word = [](bool on, const char* name) { return on ? fmt::format(" {}", name) : ""; };
  return fmt::format(
      "{} thread{}, built for {}, Kokkos {}.{}.{} OpenMP, CPU{}{}{}{}{}, oneDNN {}.{}.{} {}",
      threads_, threads_ == 1 ? "" : "s", built_for(), KOKKOS_VERSION / 10000,
      KOKKOS_VERSION / 100 % 100, KOKKOS_VERSION % 100, word(cpu_.avx2, "avx2"),
      word(cpu_.avx512, "avx512"), word(cpu_.avx512_bf16, "avx512_bf16"),
      word(cpu_.avx512_fp16, "avx512_fp16"), word(cpu_.amx_bf16, "amx_bf16"), DNNL_VERSION_MAJOR,
      DNNL_VERSION_MINOR, DNNL_VERSION_PATCH, product_isa());
}

Execution execution() { return state().execution; }
int execution_threads() { return state().threads; }

ExecutionScope::ExecutionScope(Execution where, int threads)
    : previous_(state().execution), previous_threads_(state().threads) {
  check(where == Execution::serial || state().owns_team, Exit::kUnexpected,
        "only the thread that made the Runtime may run kernels with its team");
  const int team = g_team_threads;
  state().set(where, where == Execution::serial ? 1 : threads > 0 ? std::min(threads, team) : team);
}

ExecutionScope::~ExecutionScope() { state().set(previous_, previous_threads_); }

}  // namespace trireme
