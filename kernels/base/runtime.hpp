#pragma once
// The process's compute runtime: starts and stops the host back end (Kokkos, OpenMP), says which
// instructions the CPU has, and lets a thread choose how its kernels run.
//
// Threads. Kernels use a team of threads only on the thread that constructed the Runtime (the
// compute lane); on every other thread (communication, storage) they run serially in the caller,
// so that no lane takes the cores of another.

#include <map>
#include <string>

namespace trireme {

/// What this CPU and operating system let us execute.
struct CpuFeatures {
  bool avx2 = false;
  bool avx512 = false;       ///< F, BW, VL, DQ
  bool avx512_bf16 = false;  ///< products of bf16 with fp32 accumulation
  bool avx512_fp16 = false;
  bool amx_bf16 = false;
};
CpuFeatures cpu_features();

/// The instruction set that dense products dispatch to, after ONEDNN_MAX_CPU_ISA: "avx2",
/// "avx512_core_bf16".
std::string product_isa();

/// RAII: exactly one at a time, made after MPI_Init and destroyed before MPI_Finalize.
class Runtime {
 public:
  /// `threads` 0 takes OMP_NUM_THREADS, and without it every core this process may use.
  /// Throws Exit::kUsage for a negative number and Exit::kUnexpected for a second Runtime.
  explicit Runtime(int threads = 0);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Threads of the team, the calling one included.
  int threads() const { return threads_; }
  const CpuFeatures& cpu() const { return cpu_; }
  /// One line for logs and reports: threads, back end, instruction sets.
  std::string describe() const;
  /// Versions of the libraries under the kernels, as loaded where a library can tell: "oneDNN" ->
  /// "2.6.3".
  static std::map<std::string, std::string> libraries();

 private:
  int threads_ = 1;
  CpuFeatures cpu_;
};

/// Where the kernels called by this thread run.
enum class Execution : unsigned char { serial, openmp };

/// How this thread's kernels run now: `openmp` on the Runtime's thread, else `serial`.
Execution execution();
/// Threads that kernels called by this thread use: 1 when serial.
int execution_threads();

/// For its lifetime, kernels called by this thread run as told, with at most `threads` of the
/// team (0 = all). `openmp` on a thread other than the Runtime's is a bug and says so.
class ExecutionScope {
 public:
  explicit ExecutionScope(Execution execution, int threads = 0);
  ~ExecutionScope();
  ExecutionScope(const ExecutionScope&) = delete;
  ExecutionScope& operator=(const ExecutionScope&) = delete;

 private:
  Execution previous_;
  int previous_threads_;
};

}  // namespace trireme
