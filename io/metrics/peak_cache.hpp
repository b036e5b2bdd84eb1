#pragma once
// The GEMM peak that MFU is a share of: measured once a machine, kept in the user's cache folder.

#include <filesystem>
#include <functional>
#include <string>

namespace trireme::io {

/// What a peak depends on. Another value of any of these is another measurement.
struct PeakKey {
  std::string host;
  std::string cpu;      ///< model name
  std::string flags;    ///< the CPU's flags, as the system lists them
  std::string library;  ///< of the products, with version and instruction path
  std::string dtype;
  int threads = 1;  ///< that work together on one product
  int ranks = 1;    ///< that multiply at the same time on this host
};

/// Host, CPU and flags of this machine; the caller fills in the rest.
PeakKey this_machine();

struct PeakMeasurement {
  double flops = 0;      ///< flop/s
  std::string measured;  ///< UTC
  bool from_cache = false;
  std::filesystem::path file;  ///< where it is kept; empty when no folder could be written
};

/// ${XDG_CACHE_HOME:-~/.cache}/trireme; empty when neither variable XDG_CACHE_HOME nor HOME is set.
std::filesystem::path cache_folder();

/// The kept peak of `key`, or that of `measure` (flop/s, > 0; called at most once), which is then
/// kept. A file that is torn, of another key, or below `at_least` (which the caller has just seen
/// on this machine: the kept one was measured while others used it) is measured again. A cache that
/// can't be written is no error: the result then says so by an empty `file`. For one process of a
/// host at a time or several; the last one to measure wins.
PeakMeasurement cached_peak(const PeakKey& key, const std::function<double()>& measure,
                            const std::filesystem::path& folder = cache_folder(),
                            double at_least = 0);

}  // namespace trireme::io
